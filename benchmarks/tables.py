"""The figures of a report and how a terminal shows them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from rich.console import Console
from rich.table import Table

from scanside.benchmarks.interleave import Latency


class StageFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Means over the test slices: psnr in dB (range 4095 HU), ssim, gain over the noisy input in
    dB; worst_gain: of the slice that gained least; gains: slice by slice."""

    psnr: float
    ssim: float
    gain: float
    worst_gain: float
    gains: list[float]


def quality_table(stages: Mapping[str, StageFigures], data: str) -> Table:
    table = Table(
        title=f"Quality: {data}\nPSNR over 4095 HU, non-padding pixels", title_justify="left"
    )
    for heading in ("stage", "PSNR dB", "gain dB", "worst slice dB", "SSIM"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for name, row in stages.items():
        table.add_row(
            name,
            f"{row.psnr:.2f}",
            f"{row.gain:+.2f}",
            f"{row.worst_gain:+.2f}",
            f"{row.ssim:.4f}",
        )
    return table


def latency_table(figures: Mapping[str, Latency], where: str) -> Table:
    table = Table(title=f"Latency: {where}", title_justify="left")
    for heading in ("engine", "p50 ms", "p90 ms", "p99 ms", "times faster (5..95%)"):
        table.add_column(heading, justify="left" if heading == "engine" else "right")
    for name, row in figures.items():
        table.add_row(
            name,
            f"{row.p50:.1f}",
            f"{row.p90:.1f}",
            f"{row.p99:.1f}",
            f"{row.ratio:.2f} ({row.ratio_low:.2f}..{row.ratio_high:.2f})",
        )
    return table


def show(*tables: Table) -> None:
    console = Console()
    for table in tables:
        console.print(table)
