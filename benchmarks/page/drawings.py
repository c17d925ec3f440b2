"""Figures of any benchmark as pictures: bars with whiskers, forests, curves, a scatter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import FuncFormatter, NullFormatter

from scanside.benchmarks.evidence.kinds import Kind, kind_of
from scanside.benchmarks.evidence.record import Figure, Record

INK = "#707171"
"""Of all that is no data; the page puts its own colour of text there."""
STYLE = {
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": "#8a8a8a",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.facecolor": "none",
    "legend.edgecolor": "#8a8a8a",
}
OURS, OTHERS = "#3d84c6", "#a9743d"
MOST_ROWS = 30
FEWEST_ROWS = 2
MOST_PICTURES = 6
ORDER = (Kind.RATIO, Kind.QUALITY, Kind.CLOCK)
WIDE = 8.0
"""Times the smallest value that the largest is, from which an axis is logarithmic."""
LONGEST = 62


class Drawing(NamedTuple):
    caption: str
    picture: Picture


def drawings(record: Record) -> list[Drawing]:
    """In the page's style, whatever draws them."""
    with rc_context(STYLE):
        return list(SPECIAL.get(record.bench, _general)(record))


def _general(record: Record) -> Iterator[Drawing]:
    """Forests of ratios and losses, then times and rates with their intervals; what is left over is
    in the tables."""
    groups: dict[tuple[str, str], list[Figure]] = {}
    for one in record.figures:
        if one.low is not None and one.high is not None and kind_of(one) in ORDER:
            groups.setdefault((one.metric, one.unit), []).append(one)
    chosen = [group for group in groups.values() if len(group) >= FEWEST_ROWS]
    chosen.sort(key=lambda group: ORDER.index(kind_of(group[0])))
    for group in chosen[:MOST_PICTURES]:
        still = {Kind.RATIO: 1.0, Kind.QUALITY: 0.0}.get(kind_of(group[0]))
        caption = f"{group[0].metric}, {group[0].unit or 'no unit'}, with 95% intervals"
        if still is not None:
            caption += f"; {still:g} is no difference"
        if len(group) > MOST_ROWS:
            caption += f"; the first {MOST_ROWS} of {len(group)}"
        yield Drawing(caption, _rows(group[:MOST_ROWS], still))


def _rows(figures: Sequence[Figure], still: float | None) -> Picture:
    """still: the value of no difference, around which a forest stands; None for bars, which are
    points where the axis is logarithmic and has no nothing to stand on."""
    picture = Picture(figsize=(10, 0.9 + 0.27 * len(figures)), layout="constrained")
    axes = picture.subplots()
    wide = _wide([one.value for one in figures])
    varying = _varying(figures)
    for row, one in enumerate(figures):
        colour = OTHERS if one.better == "neither" else OURS
        points = still is not None or wide
        if points:
            axes.plot(one.value, row, "s", color=colour, markersize=5, zorder=3)
        else:
            axes.barh(row, one.value, color=colour, alpha=0.75, height=0.62)
        if one.low is not None and one.high is not None:
            whisker = colour if points else INK
            axes.plot([one.low, one.high], [row, row], color=whisker, linewidth=1.4)
    axes.set_yticks(range(len(figures)), [_label(one, varying) for one in figures], fontsize=8)
    axes.set_ylim(len(figures) - 0.4, -0.6)
    if wide:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    if still is not None:
        axes.axvline(still, color=INK, linewidth=1, linestyle="--")
    figure = figures[0]
    overs = {one.over for one in figures}
    over = f", over {figure.over}" if len(overs) == 1 and figure.over else ""
    axes.set_xlabel(f"{figure.metric}, {figure.unit}{over}".strip(", "), fontsize=9)
    axes.grid(axis="x", alpha=0.4)
    return picture


def _wide(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) > WIDE * min(values)


def _varying(figures: Sequence[Figure]) -> list[str]:
    """The keys that tell them apart."""
    keys = dict.fromkeys(key for one in figures for key in one.of)
    return [key for key in keys if len({one.of.get(key) for one in figures}) > 1]


def _label(one: Figure, varying: Sequence[str]) -> str:
    parts = ((key, one.of[key]) for key in varying if key in one.of)
    # A number alone says nothing.
    words = ", ".join(f"{key} {said}" if said.isdigit() else said for key, said in parts)
    words = words or one.metric
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…"


def _curves(record: Record) -> Iterator[Drawing]:
    from scanside.benchmarks.scale.plot import draw

    yield Drawing(
        "frames a second and p99 against clients; circles: where a line saturates; whiskers: 95%",
        draw(record.figures),
    )


def _scatter(record: Record) -> Iterator[Drawing]:
    """Quality against latency, level by level together: mean PSNR over p50."""
    times = {one.of["network"]: one for one in record.figures if one.metric == "p50"}
    levels: dict[str, list[float]] = {}
    for one in record.figures:
        if one.metric == "psnr":
            levels.setdefault(one.of["network"], []).append(one.value)
    quality = {name: sum(found) / len(found) for name, found in levels.items() if name in times}
    if not quality:
        return
    picture = Picture(figsize=(10, 5.4), layout="constrained")
    axes = picture.subplots()
    for name, value in quality.items():
        best = not any(
            times[other].value <= times[name].value and quality[other] > value for other in quality
        )
        axes.plot(times[name].value, value, "o", color=OURS, fillstyle="full" if best else "none")
        axes.annotate(
            name, (times[name].value, value), xytext=(6, 4), textcoords="offset points", fontsize=8
        )
    axes.margins(x=0.2, y=0.12)
    axes.set_xlabel("p50 of a frame, ms", fontsize=9)
    axes.set_ylabel("PSNR in dB, mean over levels", fontsize=9)
    axes.grid(alpha=0.4)
    yield Drawing("quality against latency; filled: none is as fast and better", picture)


SPECIAL: dict[str, Callable[[Record], Iterator[Drawing]]] = {"scale": _curves, "pareto": _scatter}
