"""A finished run -> one bundle, or a reason why not; nothing is written before all is proved."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import msgspec

from scanside.compile import gate
from scanside.compile.bounds import golden_noise, guard_bounds
from scanside.compile.card import with_low_contrast
from scanside.compile.export import check_parity, export_onnx
from scanside.compile.gate import Verdict, insist, judge
from scanside.compile.golden import golden_frames, golden_inputs, golden_range
from scanside.compile.lint import insist_on_parser
from scanside.compile.pack import write_bundle
from scanside.compile.targets import fit_to_target
from scanside.compile.tolerance import prove_sharp, set_tolerance, spread
from scanside.compile.twin import cpu_twin
from scanside.compile.walk import ConvLayer, check_int8, float_convolutions
from scanside.runtime.bundle import CPU_MODEL, GOLDEN, MODEL, REPORT, Bundle
from scanside.runtime.engines.choose import available_engines, cpu_engine
from scanside.runtime.engines.cpu import CpuEngine, device_name, usable_threads
from scanside.runtime.errors import OutputExistsError
from scanside.runtime.golden import encode_golden
from scanside.runtime.manifest import Acceptance, Manifest
from scanside.runtime.platforms import Target
from scanside.train.heldout import enhance_cases, load_cases
from scanside.train.manifest import draft_manifest
from scanside.train.recipe import LowDose
from scanside.train.run import CONTROL, PRUNED, Run, Summary
from scanside.train.simulators import simulator_of
from scanside.train.stages import eager_engine, load_float, load_quantised

Say = Callable[[str], None]
SEED = 20261122  # of the golden frames


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """report.json: what was measured when this bundle was compiled, on what."""

    machine: str
    threads: int
    versions: dict[str, str]
    data: str
    cases: str
    training: Summary
    gate: Verdict
    layers: list[ConvLayer]
    """Convolutions of model.onnx, and which of them run in INT8."""
    parity: float
    """Largest difference of eager PyTorch and ONNX Runtime, as a share of the residual (rms)."""
    broken_networks_refused: int
    verified_on: str = "CPU only; TensorRT and Jetson: not verified on hardware"


def compile_run(
    folder: Path, out: Path, say: Say, *, target: Target | None = None, force: bool = False
) -> Bundle:
    """Compile the run in `folder` into the bundle file `out`, for a target or for any.

    Raises RunFolderError for an unfinished run, GateError when INT8 lost too much, CompileError
    when the network cannot be exported faithfully, TargetError when the target cannot hold it,
    OutputExistsError unless `force`.
    """
    if out.exists() and not force:
        raise OutputExistsError(
            f"{out} exists already", next_step="choose another --out, or add --force"
        )
    run = Run(folder)
    config, summary, cases = run.config(), run.summary(), load_cases(run.heldout)
    shape = load_float(run, PRUNED)
    draft = draft_manifest(config.recipe, shape, config.data_digest, config.code_version)
    quantised = load_quantised(run)

    say("exporting to ONNX and comparing with PyTorch")
    model = export_onnx(quantised, draft.multiple_of)
    parity = check_parity(quantised, model)
    layers = check_int8(model, float_convolutions(shape))
    insist_on_parser(model, (target.release.tensorrt,) if target else ())
    if target is not None:
        draft = fit_to_target(draft, model, target)
    twin = cpu_twin(model)

    say("measuring INT8 against its float control on held-out cases")
    candidates = _candidates(draft, model, twin)
    unit = simulator_of(config.recipe).unit
    verdict = judge(eager_engine(load_float(run, CONTROL), draft), candidates, cases, unit)
    insist(verdict)

    say("making golden frames and proving that they catch broken networks")
    reference = candidates[MODEL]
    inputs = golden_inputs(draft.modality[0], draft.sizes, SEED)
    frames = golden_frames(reference, inputs)
    data_range = golden_range(draft.modality[0])
    honest = [spread(engine, frames, data_range) for engine in candidates.values()]
    control_psnr = verdict.engines[gate.CONTROL].psnr
    tolerance = set_tolerance(honest, control_psnr, verdict.limit_db, data_range)
    refused = prove_sharp(draft, model, frames, tolerance)

    levels = ", ".join(f"{level:g}" for level in config.recipe.heldout_levels)
    kind = type(config.recipe.degradation).__struct_config__.tag
    data = f"{len(cases)} held-out cases, simulated {kind} of {levels} {unit}"
    report = Report(
        machine=device_name(),
        threads=usable_threads(),
        versions={
            "python": platform.python_version(),
            "torch": version("torch"),
            "onnxruntime": version("onnxruntime"),
            **available_engines(),
        },
        data=config.data,
        cases=data,
        training=summary,
        gate=verdict,
        layers=layers,
        parity=parity,
        broken_networks_refused=refused,
    )
    acceptance = _acceptance(verdict, data)
    if isinstance(config.recipe.degradation, LowDose):
        say("measuring what is left of low contrast")
        acceptance = with_low_contrast(acceptance, reference, cases)
    images = enhance_cases({MODEL: reference}, cases, "Measuring what is usual")[MODEL]
    manifest = msgspec.structs.replace(
        draft,
        tolerance=tolerance,
        acceptance=acceptance,
        guard=guard_bounds(images, cases, draft.intensity, draft.scale),
        golden_noise=golden_noise(frames, draft.intensity, draft.scale),
    )
    members = {
        MODEL: model,
        CPU_MODEL: twin,
        GOLDEN: encode_golden(frames),
        REPORT: msgspec.json.format(msgspec.json.encode(report)),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    return write_bundle(out, manifest, members)


def _candidates(draft: Manifest, model: bytes, twin: bytes) -> dict[str, CpuEngine]:
    """Every file on every engine that runs it here; the reference comes first."""
    threads = usable_threads()
    engines = {MODEL: cpu_engine(draft, model, "onnxruntime", threads)}
    for name in available_engines():
        engines[f"{CPU_MODEL} on {name}"] = cpu_engine(draft, twin, name, threads)
    return engines


def _acceptance(verdict: Verdict, data: str) -> Acceptance:
    figures = {"untouched psnr": verdict.base_psnr}
    for name, figure in verdict.engines.items():
        figures[f"{name} psnr"] = figure.psnr
        figures[f"{name} drift"] = figure.drift
        for level, drift in figure.drift_at.items():
            figures[f"{name} drift at {level} {verdict.level_unit}"] = drift
    return Acceptance(
        data=data,
        data_range=verdict.data_range,
        unit=verdict.unit,
        drift_limit_db=verdict.limit_db,
        figures={name: round(value, 4) for name, value in figures.items()},
    )
