"""The pictures of `bench gaps`: percentiles against the gap, the distribution, and the course."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from scanside.benchmarks.latency.gaps import WARM, Gaps
from scanside.benchmarks.latency.grid import FLOOR, IPC, SHARED, TCP
from scanside.benchmarks.latency.tails import ENOUGH

COLOURS = {FLOOR: "#4878a8", IPC: "#c85a3c", SHARED: "#6a9f58", TCP: "#8c6bb1", WARM: "#999999"}
LINES = {50.0: ("-", "o"), 99.0: ("--", "s"), 99.9: (":", "^")}
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")


def draw_ladder(found: Gaps, title: str) -> Figure:
    """p50, p99 and p99.9 against the idle gap; a percentile of too few frames is left out."""
    figure, axes = _page(title)
    ladder = found.ladder
    names = list(dict.fromkeys(name for name, _ in ladder.times))
    gaps = list(dict.fromkeys(gap for _, gap in ladder.times))
    for name in names:
        for which, (line, marker) in LINES.items():
            drawn = [
                (place, float(np.percentile(times, which)))
                for place, gap in enumerate(gaps)
                if (times := ladder.rounds(name, gap)).size >= ENOUGH[which]
            ]
            if drawn:
                axes.plot(
                    *zip(*drawn, strict=True),
                    linestyle=line,
                    marker=marker,
                    markersize=5,
                    color=COLOURS[name],
                    label=f"{name}, p{which:g}",
                )
    counts = [min(ladder.rounds(name, gap).size for name in names) for gap in gaps]
    axes.set_xticks(
        range(len(gaps)),
        [f"{gap * 1000:g}\nn ≥ {count}" for gap, count in zip(gaps, counts, strict=True)],
    )
    axes.set_xlim(-0.3, len(gaps) - 0.7)
    axes.set(xlabel="idle gap before the frame, ms; frames of each contender below", yscale="log")
    low, high = axes.get_ylim()
    if high < 2 * low:  # else a difference of 2% would fill the page
        axes.set_ylim((low * high / 2) ** 0.5, (2 * low * high) ** 0.5)
    _milliseconds(axes)
    axes.legend(fontsize=8, ncols=2, loc="best")
    return figure


def draw_schedule(found: Gaps, title: str) -> Figure:
    """Left: the share of frames that took longer, over time in units of the contender's own p50,
    so that the far end shows. Right: every frame in the course of the run."""
    figure = Figure(figsize=(12, 5.2), dpi=100)
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10, x=0.06, ha="left")
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.065, right=0.985, top=0.86, bottom=0.12, wspace=0.18)
    for name, times in found.paced.times.items():
        order = np.sort(times.ravel()) / np.median(times)
        beyond = 1 - np.arange(len(order)) / len(order)
        left.step(order, beyond, color=COLOURS[name], where="post", label=name, linewidth=1.3)
        right.plot(
            found.paced.began[name].ravel(),
            times.ravel(),
            marker=".",
            markersize=2.5,
            linestyle="none",
            color=COLOURS[name],
            label=f"{name}: p99.9/p50 {found.spread[name]}",
            alpha=0.6,
        )
    for level, word in ((0.01, "p99"), (0.001, "p99.9")):
        left.axhline(level, color="#bbbbbb", linewidth=0.8)
        left.annotate(
            word,
            (0.99, level),
            xycoords=("axes fraction", "data"),
            fontsize=8,
            ha="right",
            va="bottom",
        )
    left.set(
        xscale="log",
        yscale="log",
        xlabel="times its own p50",
        ylabel="share of frames that took longer",
    )
    left.xaxis.set_major_formatter(PLAIN)
    left.xaxis.set_minor_formatter(PLAIN)
    left.tick_params(axis="x", which="minor", labelsize=7)
    left.grid(alpha=0.3, which="both")
    left.legend(fontsize=9)
    right.set(yscale="log", xlabel="seconds from the start")
    _milliseconds(right)
    right.legend(fontsize=8, markerscale=4, loc="upper right")
    return figure


def _page(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 5.5), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.085, 0.15, 0.895, 0.72))
    axes.set_title(title, fontsize=10, loc="left")
    return figure, axes


def _milliseconds(axes: Axes) -> None:
    axes.set_ylabel("ms a frame")
    axes.yaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_minor_formatter(PLAIN)
    axes.tick_params(axis="y", which="minor", labelsize=7)
    axes.grid(alpha=0.3, which="both")
