"""Comparisons and histories as pictures: PNG, SVG, or a page that needs nothing else."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import FuncFormatter

from scanside.benchmarks.evidence.changes import Change, Verdict
from scanside.benchmarks.evidence.compare import Comparison, counted, said
from scanside.benchmarks.evidence.record import Record
from scanside.benchmarks.evidence.shown import ORDER, interval, number, run_in_words
from scanside.benchmarks.evidence.timeline import Line, Review
from scanside.runtime.errors import BenchmarkError
from scanside.runtime.files import replace_file

FORMATS = ("png", "svg", "html")
MOST_ROWS = 50
MOST_PANELS = 24
IN_A_PANEL = 8
"""Lines that can still be told apart."""
MOST_RUNS = 40
MOST_EXACT = 8
WIDE, FAR = 4.0, 30.0
"""Times the smallest value that the largest is, from which an axis is logarithmic, and from which
its powers of ten are marks enough."""
COLOURS = {
    Verdict.WORSE: "#c0392b",
    Verdict.PERHAPS: "#d68910",
    Verdict.SAME: "#5d6d7e",
    Verdict.BETTER: "#1e8449",
    Verdict.SHOWN: "#b2babb",
}
MARKERS = "osD^vP*X"
"""By machine."""


def check_format(path: Path) -> None:
    """Raises BenchmarkError for a file that no picture is written to; before any work is done."""
    if path.suffix[1:].lower() not in FORMATS:
        raise BenchmarkError(
            f"no picture is written to {path.name}",
            next_step="give it one of the endings " + ", ".join(f".{one}" for one in FORMATS),
        )


def write_picture(path: Path, picture: Picture, title: str) -> None:
    kind = path.suffix[1:].lower()
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as stream:
        if kind == "html":
            stream.write(_page(picture, title).encode())
        else:
            stream.write(_bytes(picture, kind))


def forest(found: Comparison, least: float) -> Picture:
    """Worsenings in % with their 95% intervals, worst first; the smallest that matters shaded."""
    noisy = [one for one in found.changes if one.noisy]
    ordered = sorted(noisy, key=lambda one: (ORDER.index(one.verdict), -one.worsening))
    rows = ordered[:MOST_ROWS]
    picture = Picture(figsize=(11, 2.4 + 0.27 * max(len(rows), 4)), layout="constrained")
    axes = picture.subplots()
    reach = max((abs(math.expm1(one.worsening)) for one in rows), default=0.0)
    reach = min(max(1.6 * reach, 5 * least), 3.0) * 100
    axes.axvspan(-100 * least, 100 * least, color="#eef2f5", zorder=0)
    axes.axvline(0, color="#909497", linewidth=1, zorder=1)
    for row, one in enumerate(rows):
        _bar(axes, row, one)
    axes.set_yticks(range(len(rows)), [_short(said(one.bench, one.after)) for one in rows])
    axes.set_ylim(len(rows) - 0.3, -0.7)
    axes.set_xlim(-min(reach, 95), reach)
    left = f"; {len(noisy) - len(rows)} more are not drawn" if len(noisy) > len(rows) else ""
    axes.set_xlabel(
        f"worse by, % (95% interval of each; shaded: less than {least:.0%}, which does not "
        f"matter{left})",
        fontsize=9,
    )
    axes.grid(axis="x", alpha=0.3)
    if not rows:
        axes.text(0, 0, "no figure that was measured with noise is in both", ha="center")
    _key(axes, rows)
    first, second = found.pairs[0]
    more = f" (and {len(found.pairs) - 1} more benchmarks)" if len(found.pairs) > 1 else ""
    title = f"{_moment(first)}\n→ {_moment(second)}{more}\n{counted(found.changes)}"
    exact = [one for one in found.regressions if not one.noisy][:MOST_EXACT]
    title += "".join(
        f"\nexact: {_short(said(one.bench, one.after))}: {number(one.before)} → {number(one.after)}"
        for one in exact
    )
    picture.suptitle(title, fontsize=9, ha="left", x=0.01)
    return picture


def _bar(axes: Axes, row: int, one: Change) -> None:
    low, high = (100 * math.expm1(min(end, 3.0)) for end in interval(one))
    colour = COLOURS[one.verdict]
    axes.plot([low, high], [row, row], color=colour, linewidth=1.6, zorder=2)
    axes.plot(100 * math.expm1(one.worsening), row, "s", color=colour, markersize=5, zorder=3)


def _key(axes: Axes, rows: Sequence[Change]) -> None:
    seen = {one.verdict for one in rows}
    for verdict in ORDER:
        if verdict in seen:
            axes.plot([], [], "s-", color=COLOURS[verdict], label=verdict.value)
    if seen:
        axes.legend(fontsize=8, loc="lower right")


def over_time(found: Review) -> Picture:
    """A panel for each metric of each benchmark: its figures from run to run with their intervals.
    Runs stand at even distances, their commits below; the marker tells the machine; red circles
    are regressions of the latest run."""
    panels = _panels(found.lines)
    shown = panels[:MOST_PANELS]
    columns = 2 if len(shown) > 1 else 1
    rows = max(1, math.ceil(len(shown) / columns))
    picture = Picture(figsize=(9 * columns, 3.6 * rows + 0.7), layout="constrained")
    grid = picture.subplots(rows, columns, squeeze=False).ravel()
    regressed = {(one.bench, said("", one.after)) for one in found.regressions}
    machines = _machines(found.runs.values())
    for axes, lines in zip(grid, shown, strict=False):
        _panel(axes, lines, found.runs[lines[0].bench], machines, regressed)
    for axes in grid[len(shown) :]:
        axes.axis("off")
    if not shown:
        grid[0].text(0.5, 0.5, "no figure is like that", ha="center")
    left = f"   {len(panels) - len(shown)} more panels are not drawn: choose with --of, --metric"
    marks = "   ".join(f"{mark} {name}" for name, mark in zip(machines, "●■◆▲▼✚★✖", strict=False))
    marks += "   dashed: another machine   red circle: a regression of the latest run"
    title = marks + (left if len(panels) > len(shown) else "")
    picture.suptitle(title, fontsize=9, ha="left", x=0.01)
    return picture


def _panels(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines of one benchmark, metric and unit, so many that they can be told apart."""
    groups: dict[tuple[str, str, str], list[Line]] = {}
    for one in lines:
        figure = one.figures[-1]
        groups.setdefault((one.bench, figure.metric, figure.unit), []).append(one)
    panels = []
    for group in groups.values():
        count = math.ceil(len(group) / IN_A_PANEL)
        size = math.ceil(len(group) / count)
        panels += [group[start : start + size] for start in range(0, len(group), size)]
    return panels


def _panel(
    axes: Axes,
    lines: Sequence[Line],
    runs: Sequence[Record],
    machines: Sequence[str],
    regressed: set[tuple[str, str]],
) -> None:
    first = max(0, len(runs) - MOST_RUNS)
    for place_in_key, line in enumerate(lines):
        at = [place for place in line.places if place >= first]
        figures = line.figures[len(line.places) - len(at) :]
        values = [one.value for one in figures]
        colour = f"C{place_in_key}"
        label = ", ".join(line.figures[-1].of.values()) or line.name
        axes.plot(at, values, color=colour, linewidth=1, alpha=0.6, label=_short(label, 40))
        for place, one in zip(at, figures, strict=True):
            mark = MARKERS[machines.index(_machine(runs[place])) % len(MARKERS)]
            axes.plot(place, one.value, mark, color=colour, markersize=5)
            if one.low is not None and one.high is not None:
                axes.plot([place, place], [one.low, one.high], color=colour, linewidth=1)
        if at and (line.bench, line.name) in regressed:
            axes.plot(at[-1], values[-1], "o", markersize=14, fillstyle="none", color="#c0392b")
    for place in range(first + 1, len(runs)):
        if _machine(runs[place]) != _machine(runs[place - 1]):
            axes.axvline(place - 0.5, color="#909497", linestyle="--", linewidth=1)
    figure = lines[0].figures[-1]
    over = f", over {figure.over}" if figure.over else ""
    axes.set_title(f"{lines[0].bench}: {figure.metric}{over}", fontsize=9, loc="left")
    axes.set_ylabel(figure.unit, fontsize=8)
    values = [one.value for line in lines for one in line.figures]
    if min(values) > 0 and max(values) > WIDE * min(values):
        axes.set_yscale("log")
        plain = FuncFormatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_major_formatter(plain)
        if max(values) < FAR * min(values):
            axes.yaxis.set_minor_formatter(plain)
    places = range(first, len(runs))
    axes.set_xticks(places, [_tick(runs[place]) for place in places], rotation=60, fontsize=6)
    axes.set_xlim(first - 0.5, len(runs) - 0.5)
    axes.tick_params(axis="y", labelsize=7, which="both")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _tick(run: Record) -> str:
    return f"{run.commit[:7]}{'+' if run.commit.endswith('+changes') else ''}\n{run.when[5:16]}"


def _machine(run: Record) -> str:
    return f"{run.machine.name}, {len(run.machine.cores)} cores"


def _machines(runs: Iterable[Sequence[Record]]) -> list[str]:
    """In the order in which they first appear."""
    return list(dict.fromkeys(_machine(one) for records in runs for one in records))


def _moment(run: Record) -> str:
    return _short(run_in_words(run), 150)


def _short(words: str, most: int = 70) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _bytes(picture: Picture, kind: str) -> bytes:
    stream = io.BytesIO()
    # Letters as letters, and the same bytes from the same figures.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "scanside"}):
        picture.savefig(
            stream, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None
        )
    return stream.getvalue()


def _page(picture: Picture, title: str) -> str:
    drawing = _bytes(picture, "svg").decode()
    drawing = drawing[drawing.index("<svg") :]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title>"
        "<style>body{font:16px sans-serif;margin:2em}svg{max-width:100%;height:auto}</style>"
        f"<h1>{html.escape(title)}</h1>{drawing}</html>\n"
    )
