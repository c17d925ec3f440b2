"""Frames a second over clients, a line for each transport and size, and the p99 beside it."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import FuncFormatter, NullFormatter

from scanside.benchmarks.evidence.record import Figure
from scanside.benchmarks.scale.records import CLIENTS, P99, RATE, SATURATES
from scanside.benchmarks.serving.roundtrip import IPC, SHARED, TCP

STYLES = {SHARED: "-", IPC: "--", TCP: ":"}
MARKERS = {SHARED: "o", IPC: "s", TCP: "^"}
PANELS = ((RATE, "frames a second, all clients together"), (P99, "p99 of a round trip, ms"))
LABELLED = (1, 2, 3, 5)
LOGARITHMIC = 4.0
"""Times the smallest value that the largest is."""


def draw(figures: Sequence[Figure]) -> Picture:
    """From a record's figures: a row of panels for each number of cores; circles where a line
    saturates; whiskers are 95% intervals."""
    mine = [one for one in figures if CLIENTS in one.of and one.metric in (RATE, P99)]
    cores = sorted({one.of["cores"] for one in mine}, key=int)
    sides = sorted({one.of["side"] for one in mine}, key=int)
    picture = Picture(figsize=(11, 0.6 + 3.7 * max(1, len(cores))), layout="constrained")
    grid = picture.subplots(max(1, len(cores)), 2, squeeze=False)
    for row, count in zip(grid, cores, strict=False):
        for axes, (metric, words) in zip(row, PANELS, strict=True):
            here = [one for one in mine if one.of["cores"] == count and one.metric == metric]
            _panel(axes, here, sides, _saturations(figures, count) if metric == RATE else {})
            axes.set_ylabel(words, fontsize=9)
            axes.set_title(f"daemon on {count} core{'s' * (count != '1')}", fontsize=9, loc="left")
        row[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return picture


def _panel(
    axes: Axes,
    figures: Sequence[Figure],
    sides: Sequence[str],
    saturations: dict[tuple[str, str], float],
) -> None:
    lines = dict.fromkeys((one.of["transport"], one.of["side"]) for one in figures)
    for transport, side in lines:
        points = sorted(
            (one for one in figures if (one.of["transport"], one.of["side"]) == (transport, side)),
            key=lambda one: int(one.of[CLIENTS]),
        )
        counts = [int(one.of[CLIENTS]) for one in points]
        values = [one.value for one in points]
        colour = f"C{sides.index(side)}"
        axes.errorbar(
            counts,
            values,
            yerr=[
                [max(0.0, one.value - one.low) if one.low is not None else 0 for one in points],
                [max(0.0, one.high - one.value) if one.high is not None else 0 for one in points],
            ],
            color=colour,
            linestyle=STYLES.get(transport, "-"),
            marker=MARKERS.get(transport, "o"),
            markersize=4,
            linewidth=1.3,
            elinewidth=0.8,
            label=f"{transport}, {side} x {side}",
        )
        at = saturations.get((transport, side))
        if at in counts:
            value = values[counts.index(int(at))]
            axes.plot(at, value, "o", markersize=12, fillstyle="none", color=colour)
    counts = sorted({int(one.of[CLIENTS]) for one in figures})
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(one) for one in counts])
    axes.set_xlabel("clients (a circle: where the line saturates)", fontsize=9)
    _upwards(axes, [one.value for one in figures])
    axes.grid(alpha=0.3)


def _upwards(axes: Axes, values: Sequence[float]) -> None:
    """From nothing, or logarithmic where the lines lie far apart."""
    if values and min(values) > 0 and max(values) > LOGARITHMIC * min(values):
        axes.set_yscale("log", subs=LABELLED[1:])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(FuncFormatter(_minor))
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_minor_formatter(NullFormatter())


def _minor(value: float, _: int) -> str:
    return f"{value:g}"


def _saturations(figures: Sequence[Figure], cores: str) -> dict[tuple[str, str], float]:
    return {
        (one.of["transport"], one.of["side"]): one.value
        for one in figures
        if one.metric == SATURATES and one.of["cores"] == cores
    }
