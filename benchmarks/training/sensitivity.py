"""Which layer INT8 hurts: a run's quantised network, one convolution at a time."""

from __future__ import annotations

from torch import nn

from scanside.train.heldout import enhance_cases, load_cases, qualities
from scanside.train.manifest import draft_manifest
from scanside.train.metrics.quality import mean_quality
from scanside.train.qat import prepare
from scanside.train.run import PRUNED, QAT, Run
from scanside.train.sensitivity import LayerSensitivity, layer_sensitivity
from scanside.train.stages import eager_engine, load_float

CASES = 6


def run_sensitivity(run: Run) -> list[LayerSensitivity]:
    """PSNR in dB on some held-out cases with a single layer in INT8, the worst drop first."""
    pruned = load_float(run, PRUNED)
    draft = draft_manifest(run.config().recipe, pruned)
    prepared = prepare(pruned)
    prepared.load_state_dict(run.state(QAT))
    cases = load_cases(run.heldout)[:CASES]

    def measure(model: nn.Module) -> float:
        images = enhance_cases({"": eager_engine(model, draft)}, cases, "Measuring a layer")[""]
        return mean_quality(qualities(images, cases)).psnr

    return sorted(layer_sensitivity(prepared, measure), key=lambda one: -one.drop)
