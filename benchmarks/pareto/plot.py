"""The sweep as a picture: quality over latency, the front marked, every point labelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from scanside.benchmarks.pareto.contenders import FLOAT32, FP16, INT8
from scanside.benchmarks.pareto.sweep import Point, SweepReport

COLOURS = {FLOAT32: "#4878a8", FP16: "#6a9f58", INT8: "#c85a3c"}
MARKERS = {FLOAT32: "o", FP16: "^", INT8: "s"}
FRONT = "#222222"
Offset = tuple[int, int]
OFFSETS: list[Offset] = [
    (x * reach, y * reach)
    for reach in (9, 16, 24, 34, 46)
    for x, y in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))
]
"""Of a label's nearest edge from its point, in points of the page: tried in turn."""
NEAR = 16
"""Up to here a label needs no line to its point."""
AROUND = 5.0
"""Pixels either side of a point that no label may cover."""
SIDES: dict[int, Literal["left", "center", "right"]] = {1: "left", 0: "center", -1: "right"}
HEIGHTS: dict[int, Literal["top", "center", "bottom"]] = {1: "bottom", 0: "center", -1: "top"}


def draw(report: SweepReport) -> Figure:
    figure = Figure(figsize=(11, 6.5), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.075, 0.1, 0.9, 0.78))
    _front(axes, report.points)
    for precision in COLOURS:
        mine = [one for one in report.points if one.precision == precision]
        if mine:
            _scatter(axes, mine, precision)
    levels = ", ".join(report.levels)
    axes.set(
        xscale="log",
        xlabel=f"ms a frame of {report.frame}, median of {report.rounds} rounds in turn; "
        f"{report.engine}, {report.threads} threads",
        ylabel=f"PSNR in dB, mean of {levels} {report.level_unit}; range {report.data_range}",
    )
    axes.margins(x=0.12, y=0.12)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="lower right", fontsize=9)
    axes.set_title(
        f"{report.title}\n{report.set}; {report.machine}, {report.date}", fontsize=10, loc="left"
    )
    canvas.draw()
    place_labels(
        axes,
        [one.p50 for one in report.points],
        [one.mean_psnr for one in report.points],
        [_label(one) for one in report.points],
    )
    return figure


def _label(one: Point) -> str:
    text = one.name.removesuffix(f", {one.precision}")
    return f"{text}, over the gate's limit" if one.over_limit else text


def _front(axes: Axes, points: Sequence[Point]) -> None:
    """A staircase: between two points of the front the faster one is what there is."""
    front = sorted((one for one in points if one.front), key=lambda one: one.p50)
    axes.step(
        [one.p50 for one in front],
        [one.mean_psnr for one in front],
        where="post",
        color=FRONT,
        linewidth=1.2,
        linestyle="--",
        label="Pareto front (filled)",
        zorder=1,
    )


def _scatter(axes: Axes, points: Sequence[Point], precision: str) -> None:
    colour = COLOURS[precision]
    axes.scatter(
        [one.p50 for one in points],
        [one.mean_psnr for one in points],
        s=70,
        marker=MARKERS[precision],
        facecolors=[colour if one.front else "white" for one in points],
        edgecolors=colour,
        linewidths=1.6,
        label=precision,
        zorder=3,
    )


def place_labels(
    axes: Axes, across: Sequence[float], up: Sequence[float], texts: Sequence[str]
) -> list[Bbox]:
    """Write each text near its point (data coordinates), where it covers no point and no other text
    if there is such a place; a thin line leads from those that had to go far. Returns their boxes
    in pixels. The figure has to be drawn already."""
    places = [tuple(axes.transData.transform(point)) for point in zip(across, up, strict=True)]
    taken = [Bbox([[x - AROUND, y - AROUND], [x + AROUND, y + AROUND]]) for x, y in places]
    frame = axes.get_window_extent()
    boxes = []
    for x, y, place, text in zip(across, up, places, texts, strict=True):
        note = axes.annotate(
            text, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=8, zorder=4
        )
        size = note.get_window_extent()
        pixels = axes.figure.dpi / 72
        tried = {offset: _box(place, offset, size, pixels) for offset in OFFSETS}

        def cost(offset: Offset, tried: dict[Offset, Bbox] = tried) -> float:
            box = tried[offset]
            return sum(_shared(box, other) for other in taken) + _outside(box, frame)

        best = min(OFFSETS, key=cost)  # the first of equals: the nearest
        note.set_position(best)
        note.set_horizontalalignment(SIDES[_sign(best[0])])
        note.set_verticalalignment(HEIGHTS[_sign(best[1])])
        if max(map(abs, best)) > NEAR:
            axes.annotate(
                "",
                (x, y),
                xytext=best,
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": "0.6", "lw": 0.6},
                zorder=2,
            )
        taken.append(tried[best])
        boxes.append(tried[best])
    return boxes


def _box(place: tuple[float, float], offset: Offset, size: Bbox, pixels: float) -> Bbox:
    """Where a text of `size` comes to lie, in pixels."""
    corner = []
    for at, away, length in zip(place, offset, (size.width, size.height), strict=True):
        corner.append(at + away * pixels + (_sign(away) - 1) / 2 * length)
    return Bbox.from_bounds(corner[0], corner[1], size.width, size.height)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _shared(one: Bbox, other: Bbox) -> float:
    """Area that two boxes share."""
    both = Bbox.intersection(one, other)
    return 0.0 if both is None else both.width * both.height


def _outside(box: Bbox, frame: Bbox) -> float:
    return box.width * box.height - _shared(box, frame)
