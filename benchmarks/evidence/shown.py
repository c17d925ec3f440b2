"""Comparisons and histories as tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from scanside.benchmarks.evidence.changes import Change, Verdict
from scanside.benchmarks.evidence.compare import said
from scanside.benchmarks.evidence.record import Figure, Record
from scanside.benchmarks.evidence.timeline import Line, Review
from scanside.benchmarks.tables import table

ORDER = (Verdict.WORSE, Verdict.PERHAPS, Verdict.BETTER, Verdict.SAME, Verdict.SHOWN)
COLOURS = {Verdict.WORSE: "bold red", Verdict.PERHAPS: "yellow", Verdict.BETTER: "green"}
BARS = "▁▂▃▄▅▆▇█"
LONGEST_UNIT = 14
DRAWN = 12
"""Runs in a figure's small drawing."""


def changes_tables(title: str, changes: Sequence[Change], *, every: bool = False) -> list[Table]:
    """One for each benchmark, worst first. Without `every`, what is exact and unchanged, and what
    is not judged, stays out."""
    found = []
    for bench in dict.fromkeys(one.bench for one in changes):
        ours = [one for one in changes if one.bench == bench]
        shown = [one for one in ours if every or _telling(one)]
        shown.sort(key=lambda one: (ORDER.index(one.verdict), -_size(one)))
        left = len(ours) - len(shown)
        more = f"\n{left} more are exact and unchanged, or not judged: --all" if left else ""
        headings = ("figure", "before, now", "change (95%)", "seen from", "verdict")
        found.append(
            _unfolded(table(f"{bench}: {title}{more}", headings, [_row(one) for one in shown]))
        )
    return found


def _unfolded(made: Table) -> Table:
    """Names may fold, figures may not."""
    for column in made.columns[1:]:
        column.no_wrap = True
    return made


def _row(one: Change) -> tuple[str, ...]:
    return (
        escape(said("", one.after)),
        f"{one.before.value:.4g}, {number(one.after)}",
        f"{change_in_words(one)} {interval_in_words(one)}".strip(),
        f"{math.expm1(one.visible):.0%}" if one.noisy and not one.why else "",
        _verdict(one),
    )


def _telling(one: Change) -> bool:
    return one.verdict not in (Verdict.SAME, Verdict.SHOWN) or one.noisy


def _size(one: Change) -> float:
    return -math.inf if math.isnan(one.worsening) else one.worsening


def number(figure: Figure) -> str:
    """With its unit, unless that is a whole sentence."""
    unit = "x" if figure.unit == "times" else figure.unit
    return f"{figure.value:.4g} {unit if len(unit) <= LONGEST_UNIT else ''}".strip()


def change_in_words(one: Change) -> str:
    """Of the figure itself: +15% of a time is slower, of a rate faster."""
    if math.isnan(one.worsening):
        return "?"
    change = _signed(one, one.worsening)
    if not one.relative:
        return f"{change:+.3g} {one.after.unit}".strip() if change else "0"
    return f"{math.expm1(change):+.1%}"


def interval_in_words(one: Change) -> str:
    low, high = interval(one)
    if math.isnan(low):
        return ""
    ends = sorted(_signed(one, end) for end in (low, high))
    low, high = (math.expm1(min(end, 5.0)) * 100 for end in ends)
    return f"({low:+.0f}..{high:+.0f})"


def interval(one: Change) -> tuple[float, float]:
    """95% interval of the worsening, as it is without the others beside it; NaN where exact."""
    from scipy.stats import t

    if not one.noisy:
        return math.nan, math.nan
    half = float(t.ppf(0.975, one.freedom)) * one.error
    return one.worsening - half, one.worsening + half


def _signed(one: Change, worsening: float) -> float:
    return -worsening if one.after.better == "higher" else worsening


def run_in_words(one: Record) -> str:
    """The run's place and time, for a title."""
    parts = [one.bench, one.when, f"commit {one.commit}", one.machine.name]
    parts.append(f"{len(one.machine.cores)} cores")
    return ", ".join(filter(None, (*parts, one.bundle, one.data)))


def latest_tables(found: Review) -> list[Table]:
    """For each benchmark the latest of every figure, its last runs drawn small, and its verdict."""
    changes: dict[tuple[str, str], list[Change]] = {}
    for one in found.changes:
        changes.setdefault((one.bench, said("", one.after)), []).append(one)
    tables = []
    for bench, runs in found.runs.items():
        rows = [
            _latest_row(line, changes.get((bench, line.name), []))
            for line in found.lines
            if line.bench == bench and line.places[-1] == len(runs) - 1
        ]
        title = f"{run_in_words(runs[-1])}\nchange over the run before, and over the median of some"
        headings = ("figure", "latest", "trend", "before", "median", "verdict")
        if rows:
            tables.append(_unfolded(table(title, headings, rows)))
    return tables


def _latest_row(line: Line, changes: Sequence[Change]) -> tuple[str, ...]:
    return (
        escape(line.name),
        number(line.figures[-1]),
        small_drawing([one.value for one in line.figures]),
        _against(changes, "the run before"),
        _against(changes, "the median"),
        _verdict(min(changes, key=lambda one: ORDER.index(one.verdict), default=None)),
    )


def _against(changes: Sequence[Change], what: str) -> str:
    return next((change_in_words(one) for one in changes if one.against.startswith(what)), "")


def _verdict(one: Change | None) -> str:
    if one is None:
        return "first"
    colour = COLOURS.get(one.verdict)
    return f"[{colour}]{one.verdict.value}[/]" if colour else one.verdict.value


def reasons_in_words(changes: Sequence[Change]) -> str:
    """Why figures were not judged, and of how many that is said."""
    counts = Counter(one.why for one in changes if one.why)
    return ", ".join(f"{count} {why}" for why, count in counts.items())


def small_drawing(values: Sequence[float]) -> str:
    """The last values as bars, from the lowest of them to the highest; level where they differ by
    less than a thousandth."""
    last = values[-DRAWN:]
    low, high = min(last), max(last)
    if high - low <= 1e-3 * max(abs(high), abs(low)):
        return BARS[len(BARS) // 2] * len(last)
    return "".join(BARS[round((one - low) / (high - low) * (len(BARS) - 1))] for one in last)
