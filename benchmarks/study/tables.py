"""How a terminal shows the figures of a reader study."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from scanside.benchmarks.study.score import StudyFigures, Tally
from scanside.benchmarks.study.statistics import Interval


def preference_table(figures: StudyFigures) -> Table:
    """A line for each reader and one for all; first showings only."""
    a, b = escape(figures.a), escape(figures.b)
    table = Table(
        title=f"{escape(figures.question)}\nPreference for {b} over {a}, ties count as half: "
        f"{figures.cases} cases of {figures.patients} patients",
        title_justify="left",
    )
    table.add_column("reader")
    for heading in (a, "tie", b, "prefer %", "95% (Wilson)", "mean -2..2"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in figures.readers:
        table.add_row(one.reader, *_row(one.tally))
    table.add_section()
    table.add_row("all", *_row(figures.pooled))
    return table


def habits_table(figures: StudyFigures) -> Table:
    """How each reader reads: choices of the left image, repeats, and what is missing."""
    table = Table(title="Reading", title_justify="left")
    table.add_column("reader")
    for heading in ("chose left %", "same when repeated", "missing answers"):
        table.add_column(heading, justify="right")
    for one in figures.readers:
        left = "-" if one.left is None else f"{100 * one.left:.0f}"
        again = f"{one.same} of {one.again}" if one.again else "-"
        table.add_row(one.reader, left, again, str(one.missing))
    return table


def summary_table(figures: StudyFigures) -> Table:
    """What the readers say together."""
    table = Table(show_header=False)
    table.add_column()
    table.add_column()
    shares = "-" if figures.bootstrap is None else _percent(figures.bootstrap)
    table.add_row("preference, 95% over readers and patients (bootstrap)", shares)
    table.add_row("p, patients' means against 0 (Wilcoxon signed rank)", _figure(figures.p, 4))
    table.add_row("agreement between readers (Krippendorff, ordinal)", _figure(figures.agreement))
    table.add_row("agreement with themselves (the same, repeats)", _figure(figures.stability))
    return table


def _row(tally: Tally) -> tuple[str, ...]:
    counts = (str(tally.for_a), str(tally.ties), str(tally.for_b))
    share = f"{100 * tally.preference_b:.1f}"
    return (*counts, share, _percent(tally.wilson), f"{tally.mean:+.2f}")


def _percent(interval: Interval) -> str:
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def _figure(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
