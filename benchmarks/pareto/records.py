"""What `bench pareto` shows on a terminal and leaves in the history."""

from __future__ import annotations

from rich.table import Table

from scanside.benchmarks.evidence.record import Figure, estimated
from scanside.benchmarks.pareto.sweep import Point, SweepReport
from scanside.benchmarks.tables import table


def sweep_figures(report: SweepReport) -> list[Figure]:
    """Of every point: time, ratio and quality by level."""
    return [figure for one in report.points for figure in _of_point(one, report)]


def _of_point(one: Point, report: SweepReport) -> list[Figure]:
    of = {"network": one.name}
    base = next(other for other in report.points if other.name == report.baseline)
    ratios = [ours / mine for ours, mine in zip(base.rounds, one.rounds, strict=True)]
    found = [
        Figure(metric="p50", unit="ms", of=of, value=one.p50, better="lower", rounds=one.rounds),
        estimated("ratio", "times", of, one.times, "higher", over=report.baseline, rounds=ratios),
    ]
    for level in report.levels:
        at = {**of, "level": f"{level} {report.level_unit}"}
        found += [
            Figure(metric="psnr", unit="dB", of=at, value=one.psnr[level], better="higher"),
            Figure(metric="ssim", unit="", of=at, value=one.ssim[level], better="higher"),
        ]
    return found


def sweep_tables(report: SweepReport) -> tuple[Table, Table]:
    """What each costs and gives, then its quality by level. Each fits 80 columns."""
    points = report.points
    return (
        table(
            f"{report.title}: {report.set}\nPSNR over {report.data_range}, untouched "
            f"{report.untouched:.2f} dB; a frame of {report.frame}, {report.rounds} rounds in turn "
            f"on {report.engine}, {report.threads} threads; {report.machine}, {report.date}",
            ("* on the front", "MACs", "mean dB", "p50 ms", "times faster (95%)"),
            [
                (
                    f"{one.name}{' *' if one.front else ''}",
                    f"{one.macs / 1e9:.2f} G",
                    f"{one.mean_psnr:.2f}",
                    f"{one.p50:.2f}",
                    f"{one.times}",
                )
                for one in points
            ],
        ),
        table(
            f"PSNR by level, {report.level_unit}; drift against its own float control, worst level",
            ("network", *(f"dB at {level}" for level in report.levels), "drift dB"),
            [
                (one.name, *(f"{one.psnr[level]:.2f}" for level in report.levels), _drift(one))
                for one in points
            ],
        ),
    )


def _drift(one: Point) -> str:
    if not one.drift:
        return ""
    return f"{min(one.drift.values()):+.3f}{' REFUSED' if one.over_limit else ''}"
