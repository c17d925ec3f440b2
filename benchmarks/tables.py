"""The figures of a report and how a terminal shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from scanside.runtime.interleave import Latency


class StageFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Means over the test slices: psnr in dB (range 4095 HU), ssim, gain over the noisy input in
    dB; worst_gain: of the slice that gained least; gains: slice by slice."""

    psnr: float
    ssim: float
    gain: float
    worst_gain: float
    gains: list[float]


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table whose first column is names and the others figures."""
    made = Table(title=title, title_justify="left")
    for index, heading in enumerate(headings):
        made.add_column(heading, justify="right" if index else "left")
    for row in rows:
        made.add_row(*row)
    return made


def quality_table(stages: Mapping[str, StageFigures], data: str) -> Table:
    return table(
        f"Quality: {data}\nPSNR over 4095 HU, non-padding pixels",
        ("stage", "PSNR dB", "gain dB", "worst slice dB", "SSIM"),
        [
            (
                name,
                f"{row.psnr:.2f}",
                f"{row.gain:+.2f}",
                f"{row.worst_gain:+.2f}",
                f"{row.ssim:.4f}",
            )
            for name, row in stages.items()
        ],
    )


def latency_table(figures: Mapping[str, Latency], where: str) -> Table:
    return table(
        f"Latency: {where}",
        ("engine", "p50 ms", "p90 ms", "p99 ms", "times faster (5..95%)"),
        [
            (
                name,
                f"{row.p50:.1f}",
                f"{row.p90:.1f}",
                f"{row.p99:.1f}",
                f"{row.ratio:.2f} ({row.ratio_low:.2f}..{row.ratio_high:.2f})",
            )
            for name, row in figures.items()
        ],
    )


def show(*tables: Table) -> None:
    console = Console()
    for table in tables:
        console.print(table)
