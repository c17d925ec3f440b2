"""A finished run -> one bundle, or a reason why not; nothing is written before all is proved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from torch import Tensor

from scanside.compile.bounds import golden_noise, guard_bounds
from scanside.compile.card import with_low_contrast
from scanside.compile.evidence import Report, acceptance_of, page_of, write_page
from scanside.compile.export import check_parity, export_onnx
from scanside.compile.gate import CONTROL as CONTROL_ENGINE
from scanside.compile.gate import Gate
from scanside.compile.golden import golden_frames, golden_inputs, golden_range
from scanside.compile.graph import Array, Graph
from scanside.compile.latency import time_on_cpu
from scanside.compile.pack import write_bundle
from scanside.compile.prove import Proof, Say, prove
from scanside.compile.targets import fit_to_target
from scanside.compile.tolerance import broken_spreads, sharp_tolerance, spread
from scanside.compile.variants import Variants, engines_of, make_variants
from scanside.compile.walk import float_convolutions, walk
from scanside.runtime.bundle import CPU_MODEL, GOLDEN, MODEL, REPORT, Bundle
from scanside.runtime.errors import GateError, OutputExistsError
from scanside.runtime.golden import encode_golden
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import Manifest
from scanside.runtime.platforms import Target
from scanside.runtime.tiling import Float
from scanside.train.heldout import load_cases
from scanside.train.manifest import draft_manifest
from scanside.train.metrics.case import Case
from scanside.train.recipe import LowDose
from scanside.train.run import CONTROL, PRUNED, QAT, Run
from scanside.train.simulators import simulator_of
from scanside.train.stages import eager_engine, load_float, load_quantised

SEED = 20261122  # of the golden frames
TRIED = 4
"""Held-out cases that FP16's range is measured with."""
TRIED_SIDE = 256


def compile_run(
    folder: Path,
    out: Path,
    say: Say,
    *,
    target: Target | None = None,
    force: bool = False,
    mend: bool = False,
) -> Bundle:
    """Compile the run in `folder` into the bundle file `out`, for a target or for any.

    mend: where INT8 loses too much, return the fewest layers to float that let it pass. What was
    measured stands in a page beside `out`, of a model that was refused, too.

    Raises RunFolderError for an unfinished run, ArchitectureError for checkpoints of another
    network, GateError when INT8 lost too much, CompileError when the network cannot be exported
    faithfully, TargetError when the target cannot hold it, OutputExistsError unless `force`.
    """
    if out.exists() and not force:
        raise OutputExistsError(
            f"{out} exists already", next_step="choose another --out, or add --force"
        )
    run = Run(folder)
    config, cases = run.config(), load_cases(run.heldout)
    recipe = config.recipe
    shape, control, quantised = (
        load_float(run, PRUNED),
        load_float(run, CONTROL),
        load_quantised(run),
    )
    draft = draft_manifest(recipe, shape, config.data_digest, config.code_version)
    simulator = simulator_of(recipe)

    say("exporting to ONNX and comparing with PyTorch")
    model = export_onnx(quantised, draft.multiple_of)
    parity = check_parity(quantised, model)
    if target is not None:
        draft = fit_to_target(draft, model, target)
    floats, images = float_convolutions(shape), _images(cases[:TRIED], draft)
    tensorrt = (target.release.tensorrt,) if target else ()

    def variants(file: bytes, returned: Sequence[str]) -> Variants:
        return make_variants(file, {*floats, *returned}, images, tensorrt)

    say("measuring INT8 against its float control on held-out cases")
    gate = Gate(eager_engine(control, draft), cases, simulator.unit)
    proof = prove(model, variants, _weights(model, run.state(QAT)), draft, gate, say, mend=mend)
    verdict = proof.judgement.verdict
    levels = ", ".join(f"{level:g}" for level in recipe.heldout_levels)
    kind = type(recipe.degradation).__struct_config__.tag
    report = Report(
        name=recipe.name,
        data=config.data,
        cases=f"{len(cases)} held-out cases, simulated {kind} of {levels} {simulator.unit}",
        training=run.summary(),
        gate=verdict,
        refused=proof.failure,
        layers=proof.variants.layers,
        half=proof.variants.half,
        sensitivity=proof.table,
        returned_to_float=proof.returned,
        parity=parity,
    )
    if proof.failure:
        write_page(page_of(out), report)
        raise _refused(proof, page_of(out))

    say("comparing the time of INT8 and float on this CPU")
    cpu = time_on_cpu(export_onnx(control, draft.multiple_of), proof.variants.members[CPU_MODEL])
    say("making golden frames and proving that they catch broken networks")
    engines = engines_of(draft, proof.variants.members)
    frames = golden_frames(engines[MODEL], golden_inputs(draft.modality[0], draft.sizes, SEED))
    data_range = golden_range(draft.modality[0])
    broken = broken_spreads(draft, proof.variants.members[MODEL], frames, data_range)
    tolerance = sharp_tolerance(
        [spread(engine, frames, data_range) for engine in engines.values()],
        broken,
        verdict.engines[CONTROL_ENGINE].psnr,
        verdict.limits.mean_db,
        data_range,
    )
    report = msgspec.structs.replace(report, cpu=cpu, broken_networks_refused=len(broken))
    acceptance = acceptance_of(verdict, report.cases, proof.returned)
    if isinstance(recipe.degradation, LowDose):
        say("measuring what is left of low contrast")
        acceptance = with_low_contrast(acceptance, engines[MODEL], cases)
    manifest = msgspec.structs.replace(
        draft,
        tolerance=tolerance,
        acceptance=acceptance,
        guard=guard_bounds(proof.judgement.images[MODEL], cases, draft.intensity, draft.scale),
        golden_noise=golden_noise(frames, draft.intensity, draft.scale),
    )
    members = {
        **proof.variants.members,
        GOLDEN: encode_golden(frames),
        REPORT: report.encode(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_page(page_of(out), report)
    return write_bundle(out, manifest, members)


def _images(cases: Sequence[Case], draft: Manifest) -> list[Float]:
    """What the network sees of cases: (1, 1, H, W), no larger than needed to find its range."""
    side = TRIED_SIDE - TRIED_SIDE % draft.multiple_of
    images = []
    for case in cases:
        unit = FrameMap(case.degraded, case.facts, draft.intensity).unit(draft.scale)
        rows, columns = (min(side, length - length % draft.multiple_of) for length in unit.shape)
        top, left = (unit.shape[0] - rows) // 2, (unit.shape[1] - columns) // 2
        images.append(
            np.ascontiguousarray(unit[None, None, top : top + rows, left : left + columns])
        )
    return images


def _weights(model: bytes, state: dict[str, Tensor]) -> dict[str, Array]:
    """Of every INT8 convolution: what was trained, before it was rounded."""
    return {
        layer.name: state[f"{layer.name}.weight"].numpy()
        for layer in walk(Graph(model))
        if layer.integer
    }


def _refused(proof: Proof, page: Path) -> GateError:
    costly = f"INT8 costs most in {proof.table[0].name}; " if proof.table else ""
    return GateError(
        f"{proof.failure}: no bundle is written",
        next_step=f"{costly}see {page.name}; try --repair, or train longer (--steps), raise "
        "qat_fraction or lower qat_rate in the recipe, or prune less (mac_budget)",
    )
