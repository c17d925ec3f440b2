"""What INT8 lost against its float control on a test set: every file of a bundle, by the gate."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec
from rich.table import Table

from scanside.benchmarks.quality.sets import find_set
from scanside.benchmarks.tables import table
from scanside.compile.gate import CONTROL, Gate, Verdict, failure
from scanside.compile.variants import engines_of
from scanside.runtime.bundle import CPU_MODEL, MODEL, TRT_MODEL, Bundle
from scanside.runtime.engines.cpu import device_name
from scanside.train.run import CONTROL as CONTROL_STAGE
from scanside.train.run import Run
from scanside.train.stages import eager_engine, load_float

MEMBERS = (MODEL, CPU_MODEL, TRT_MODEL)


class DriftReport(msgspec.Struct, frozen=True, kw_only=True):
    """failure: the gate's limit that is not kept here, or empty."""

    model: str
    identity: str
    set: str
    data_range: str
    machine: str
    date: str
    verdict: Verdict
    failure: str


def measure_drift(
    run: Run, bundle: Bundle, levels: Sequence[float], folders: Sequence[Path], most: int
) -> DriftReport:
    """Every file of the bundle on every engine here against the run's float control: see
    `find_set` for the images."""
    found = find_set(run.config().recipe, levels, folders, most)
    control = eager_engine(load_float(run, CONTROL_STAGE), bundle.manifest)
    gate = Gate(control, found.cases, found.unit)
    members = {name: bundle.member(name) for name in MEMBERS}
    verdict = gate.judge(engines_of(bundle.manifest, members)).verdict
    return DriftReport(
        model=f"{bundle.manifest.name} {bundle.manifest.version}",
        identity=bundle.identity,
        set=found.words,
        data_range=found.data_range,
        machine=device_name(),
        date=date.today().isoformat(),
        verdict=verdict,
        failure=failure(verdict),
    )


def drift_table(report: DriftReport) -> Table:
    levels = list(report.verdict.engines[CONTROL].drift_at)
    unit = report.verdict.level_unit
    return table(
        f"{report.model}: dB against its float control; {report.set}\n"
        f"PSNR over {report.data_range}; {report.machine}, {report.date}",
        ("file", "PSNR dB", *(f"at {level} {unit}" for level in levels), "worst", "SSIM"),
        [
            (
                name,
                f"{row.psnr:.2f}",
                *(f"{row.drift_at[level]:+.3f}" for level in levels),
                f"{row.worst_drift:+.3f}",
                f"{row.ssim_drift:+.4f}",
            )
            for name, row in report.verdict.engines.items()
        ],
    )
