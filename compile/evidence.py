"""What compiling found: report.json in the bundle, the figures in its manifest, and an HTML page
beside it for people. The page is written of what was refused, too."""

from __future__ import annotations

import base64
import io
import platform
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import jinja2
import msgspec
from matplotlib.figure import Figure

from scanside.compile.gate import CONTROL, Verdict
from scanside.compile.half import HalfLayer
from scanside.compile.latency import CpuTime
from scanside.compile.sensitivity import LayerGain
from scanside.compile.walk import ConvLayer
from scanside.runtime.engines.choose import available_engines
from scanside.runtime.engines.cpu import device_name, usable_threads
from scanside.runtime.files import replace_file
from scanside.runtime.manifest import Acceptance
from scanside.train.run import Summary


def versions() -> dict[str, str]:
    """Of everything whose change could change a figure."""
    packages = ("torch", "torchao", "onnx", "onnxruntime", "nvidia-modelopt")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        **available_engines(),
    }


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """report.json: what was measured when this bundle was compiled, on what."""

    name: str
    data: str
    cases: str
    training: Summary
    gate: Verdict
    refused: str
    """Why no bundle was written, or empty."""
    layers: list[ConvLayer]
    """Convolutions of model.onnx, and which of them run in INT8."""
    half: list[HalfLayer]
    """The same for FP16 in model.trt.onnx."""
    sensitivity: list[LayerGain] = []
    """What each INT8 layer costs: measured where the gate was not passed at once."""
    returned_to_float: tuple[str, ...] = ()
    """By --repair."""
    cpu: CpuTime | None = None
    parity: float
    """Largest difference of eager PyTorch and ONNX Runtime, as a share of the residual (rms)."""
    broken_networks_refused: int = 0
    machine: str = msgspec.field(default_factory=device_name)
    threads: int = msgspec.field(default_factory=usable_threads)
    versions: dict[str, str] = msgspec.field(default_factory=versions)
    verified_on: str = "CPU only; TensorRT and Jetson: not verified on hardware"

    def encode(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self))


def acceptance_of(verdict: Verdict, data: str, returned: Sequence[str]) -> Acceptance:
    """The gate's figures as the manifest keeps them; layers that are not INT8 as they were trained
    are a warning."""
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
        drift_limit_db=verdict.limits.mean_db,
        figures={name: round(value, 4) for name, value in figures.items()},
        warnings=(f"returned to float by --repair: {', '.join(returned)}",) if returned else (),
    )


def page_of(bundle: Path) -> Path:
    """Where the page of a bundle lies."""
    return bundle.with_suffix(".html")


def write_page(path: Path, report: Report) -> None:
    text = _template().render(report=report, drifts=_drifts(report.gate), control=CONTROL)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as stream:
        stream.write(text.encode())


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    source = files(__package__).joinpath("page.html.j2").read_text()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(source)


def _drifts(verdict: Verdict) -> str:
    """Drift case by case, as a PNG in a data URI."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axes = figure.subplots()
    control = verdict.engines[CONTROL].cases
    for name, found in verdict.engines.items():
        if name != CONTROL:
            drift = [ours - theirs for ours, theirs in zip(found.cases, control, strict=True)]
            axes.plot(range(1, len(drift) + 1), drift, marker=".", label=name, alpha=0.8)
    axes.axhline(-verdict.limits.worst_db, color="#a11", linestyle="--", linewidth=1)
    axes.axhline(0, color="#222", linewidth=0.8)
    axes.set(xlabel="held-out case (dashed: limit)", ylabel="PSNR against the control's, dB")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=2)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
