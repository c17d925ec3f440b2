"""What `bench drift` and `bench quality` leave in the history.

Quality figures have no rounds: on the same images they are the same in every run, to the last
digits of the arithmetic, and the spread over images is no noise of the measurement.
"""

from __future__ import annotations

from scanside.benchmarks.evidence.paired import Estimate
from scanside.benchmarks.evidence.record import Better, Figure, estimated
from scanside.benchmarks.quality.drift import INPUT, SERVED, DriftReport, SetDrift
from scanside.benchmarks.quality.figures import Figures, Hidden
from scanside.benchmarks.quality.report import QualityReport
from scanside.benchmarks.quality.rows import Row
from scanside.compile.gate import CONTROL


def drift_figures(report: DriftReport) -> list[Figure]:
    """Of every set, stage and level. A served stage that gave its engine's bits has only that said:
    its figures are that engine's."""
    return [figure for one in report.sets for figure in _of_set(one)]


def _of_set(one: SetDrift) -> list[Figure]:
    found = []
    for stage, rows in one.rows.items():
        if stage.startswith(SERVED):
            astray = any(words.startswith(f"{stage}:") for words in one.astray)
            of = {"stage": stage, "set": one.name}
            found.append(_figure("differs from the engine", "", of, float(astray), "lower"))
            if not astray:
                continue
        for level, row in rows.items():
            of = {"stage": stage, "level": f"{level} {one.level_unit}", "set": one.name}
            found += _of_row(row, of, stage, one.value_unit)
    return found


def _of_row(row: Row, of: dict[str, str], stage: str, unit: str) -> list[Figure]:
    found = [
        _figure("psnr", "dB", of, row.psnr, "higher"),
        _figure("ssim", "", of, row.ssim, "higher"),
        _figure("bias", unit, of, row.bias, "neither"),
    ]
    if row.mtf50 is not None:
        found.append(_figure("mtf50", "of the clean image's", of, row.mtf50, "neither"))
    if stage != INPUT:
        found.append(_loss("total", of, row.total, row.total_interval, "unpruned float"))
        if stage != CONTROL:
            found.append(_loss("drift", of, row.drift, row.drift_interval, CONTROL))
            found.append(_figure("psnr to control", "dB", of, row.to_control, "higher"))
    return found


def _loss(
    metric: str,
    of: dict[str, str],
    value: float,
    interval: tuple[float, float] | None,
    over: str,
) -> Figure:
    if interval is None:
        return _figure(metric, "dB", of, value, "higher", over)
    return estimated(metric, "dB", of, Estimate(value, *interval), "higher", over=over)


def quality_figures(report: QualityReport) -> list[Figure]:
    """Of every method at every level; what PSNR hides and the discs, in CT."""
    found = []
    for level, rows in report.levels.items():
        for name, row in rows.items():
            of = {"method": name, "level": f"{level} {report.unit}"}
            found += _of_method(row, of)
            if level in report.hidden:
                found += _of_hidden(report.hidden[level][name], of)
    for disc in report.discs:
        of = {
            "method": disc.method,
            "level": f"{disc.level:g} {report.unit}",
            "radius": f"{disc.radius} px",
        }
        estimate = Estimate(disc.recovery, disc.low, disc.high)
        found.append(estimated("contrast left", "", of, estimate, "higher"))
    return found


def _of_method(row: Figures, of: dict[str, str]) -> list[Figure]:
    return [
        _figure("psnr", "dB", of, row.psnr, "higher"),
        _figure("gain", "dB", of, row.gain, "higher", "the untouched image"),
        _figure("worst gain", "dB", of, row.worst_gain, "higher", "the untouched image"),
        _figure("ssim", "", of, row.ssim, "higher"),
        _figure("gmsd", "", of, row.gmsd, "lower"),
    ]


def _of_hidden(row: Hidden, of: dict[str, str]) -> list[Figure]:
    found = [
        _figure("bias", "HU", of, row.bias, "lower"),
        _figure("dice of bone", "", of, row.dice_after, "higher"),
    ]
    if row.mtf50 is not None:
        found.append(_figure("mtf50", "of the clean image's", of, row.mtf50, "neither"))
    return found


def _figure(
    metric: str, unit: str, of: dict[str, str], value: float, better: Better, over: str = ""
) -> Figure:
    return Figure(metric=metric, unit=unit, of=of, value=value, better=better, over=over)
