"""The drift report on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from scanside.benchmarks.quality.drift import SERVED, DriftReport, SetDrift
from scanside.benchmarks.quality.rows import EQUAL_DB, Row
from scanside.benchmarks.tables import table

BAR_DB = 0.15
"""What INT8 as it is served may lose in all, against the unpruned float network."""


def drift_tables(report: DriftReport) -> Iterator[Table]:
    """Two for each level of each set: what was lost, then what PSNR hides. Each fits 80 columns."""
    for one in report.sets:
        where = (
            f"{report.model}, {report.identity[:12]}: {one.words}\nPSNR and SSIM over "
            f"{one.data_range}; {report.machine}, {report.threads} threads, {report.date}"
        )
        for level in one.levels:
            at = f"{one.name}, {level} {one.level_unit}"
            rows = {stage: rows[level] for stage, rows in one.rows.items()}
            yield table(
                f"{at}: {where}",
                ("stage", "PSNR dB", "drift dB", "worst", "total dB", "SSIM"),
                [_lost(stage, row) for stage, row in rows.items()],
            )
            yield table(
                f"{at}: MTF50 over the clean image's; bias of an image's mean, {one.value_unit}",
                ("stage", "to control", "MTF50", "worst", "bias", "worst"),
                [_hidden(stage, row) for stage, row in rows.items()],
            )


def _lost(stage: str, row: Row) -> tuple[str, ...]:
    return (
        stage,
        f"{row.psnr:.2f}",
        f"{row.drift:+.3f}",
        f"{row.worst_drift:+.3f}",
        f"{row.total:+.3f}",
        f"{row.ssim:.4f}",
    )


def _hidden(stage: str, row: Row) -> tuple[str, ...]:
    return (
        stage,
        "equal" if row.to_control >= EQUAL_DB else f"{row.to_control:.1f}",
        "-" if row.mtf50 is None else f"{row.mtf50:.3f}",
        "-" if row.worst_mtf50 is None else f"{row.worst_mtf50:.3f}",
        f"{row.bias:+.2f}",
        f"{row.worst_bias:+.2f}",
    )


def served_lines(report: DriftReport) -> Iterator[str]:
    """Float unpruned to INT8 served, beside its bar: a line for each set, engine and level."""
    for one in report.sets:
        for stage, rows in one.rows.items():
            if stage.startswith(SERVED):
                yield _served(one, stage, rows)


def _served(one: SetDrift, stage: str, rows: dict[str, Row]) -> str:
    losses = []
    for level, row in rows.items():
        interval = "({:+.3f}..{:+.3f}) ".format(*row.total_interval) if row.total_interval else ""
        kept = "met" if row.total >= -BAR_DB else "MISSED"
        losses.append(f"{row.total:+.3f} dB {interval}at {level} {one.level_unit}: {kept}")
    astray = any(words.startswith(f"{stage}:") for words in one.astray)
    bits = "other bits than" if astray else "the bits of"
    return (
        f"{one.name}, {stage} ({bits} the engine in process), total against unpruned float, "
        f"bar -{BAR_DB} dB: {'; '.join(losses)}"
    )
