"""Which channels to remove: criteria compared after equal fine-tuning, with measured latency."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import torch

from scanside.compile.export import export_onnx
from scanside.runtime.engines.choose import available_engines, load_network
from scanside.runtime.engines.cpu import usable_threads
from scanside.runtime.interleave import interleave
from scanside.runtime.tiling import Float
from scanside.train.bank import load_bank
from scanside.train.fit import fit
from scanside.train.heldout import enhance_cases, load_cases, qualities
from scanside.train.loss import loss_of
from scanside.train.manifest import draft_manifest
from scanside.train.metrics.quality import mean_quality
from scanside.train.models import fuse_batch_norm
from scanside.train.models.network import Network
from scanside.train.prune import IMPORTANCES, macs, prune
from scanside.train.run import FLOAT, Run
from scanside.train.sampler import Sampler
from scanside.train.stage import Options, Stage
from scanside.train.stages import eager_engine, load_float

WHOLE = "not pruned"
BATCHES = 6  # a sequence that no stage of a run sees
SIDE = 512
ROUNDS = 25


class PruningRow(msgspec.Struct, frozen=True, kw_only=True):
    """macs: share that is left. one_shot, fine_tuned: mean PSNR in dB on the run's held-out cases.
    ms: median latency in float on `engine`, interleaved; times: over the whole network's."""

    criterion: str
    macs: float
    one_shot: float
    fine_tuned: float
    ms: float
    times: float


class PruningTable(msgspec.Struct, frozen=True, kw_only=True):
    steps: int
    round_to: int
    engine: str
    rows: list[PruningRow]


def compare_criteria(
    run: Run, budget: float, steps: int, round_to: int, criteria: Sequence[str] = IMPORTANCES
) -> PruningTable:
    """Prune a run's float network to `budget` of its MACs by each criterion; fine-tune each on the
    same batches for `steps` steps, the whole network too."""
    config = run.config()
    recipe = config.recipe
    sampler = Sampler(recipe, load_bank(run.bank), config.files)
    whole = load_float(run, FLOAT)

    def gradients(model: torch.nn.Module) -> None:
        for step in range(8):
            loss_of(model, sampler.batch(BATCHES + 1, step), recipe.loss).backward()  # type: ignore[no-untyped-call]

    networks: dict[str, Network] = {WHOLE: copy.deepcopy(whole)}
    for criterion in criteria:
        networks[criterion] = prune(
            whole, budget, criterion, gradients=gradients, round_to=round_to
        )
    before = {name: _psnr(run, model) for name, model in networks.items()}
    for name, model in networks.items():
        with TemporaryDirectory() as folder:
            stage = Stage(name, BATCHES, steps, recipe.finetune_rate, loss=recipe.loss)
            fit(model.train(), sampler, stage, Path(folder), Options())
    after = {name: _psnr(run, model) for name, model in networks.items()}
    engine = "openvino" if "openvino" in available_engines() else "onnxruntime"
    image = np.random.default_rng(0).random((1, 1, SIDE, SIDE), dtype=np.float32)
    calls = {name: _call(model, engine, image) for name, model in networks.items()}
    latency = interleave(calls, WHOLE, ROUNDS)
    return PruningTable(
        steps=steps,
        round_to=round_to,
        engine=engine,
        rows=[
            PruningRow(
                criterion=name,
                macs=macs(model) / macs(whole),
                one_shot=before[name],
                fine_tuned=after[name],
                ms=latency[name].p50,
                times=latency[name].ratio,
            )
            for name, model in networks.items()
        ],
    )


def _call(model: Network, engine: str, image: Float) -> Callable[[], object]:
    exported = export_onnx(fuse_batch_norm(model.eval()), model.multiple_of)
    network = load_network(exported, engine, usable_threads())
    return lambda: network(image)


def _psnr(run: Run, model: Network) -> float:
    cases = load_cases(run.heldout)
    draft = draft_manifest(run.config().recipe, model)
    engine = eager_engine(model.eval(), draft)
    images = enhance_cases({"": engine}, cases, "Measuring")[""]
    return mean_quality(qualities(images, cases)).psnr
