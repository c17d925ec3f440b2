"""README's table of figures: written from records, between two markers, and never by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from scanside.benchmarks.evidence.record import Figure, Record
from scanside.benchmarks.page.latest import matches
from scanside.benchmarks.page.numbers import with_interval
from scanside.benchmarks.page.quoted import LINES, Line, Quote
from scanside.runtime.errors import BenchmarkError
from scanside.runtime.files import replace_file

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
NOT_MEASURED = "not measured"
BUSY = 0.25
"""Cores of other work from which a run says so."""
HARDWARE = "TensorRT and Jetson: not verified on hardware."


class Found(NamedTuple):
    figure: Figure
    record: Record


def block(records: Sequence[Record], lines: Sequence[Line] = LINES) -> str:
    """The table and what it says of its runs, in Markdown, without the markers. records: oldest
    first; of a figure the latest run that has it counts."""
    used: dict[str, Record] = {}
    rows = []
    for line in lines:
        found = {name: find(quote, records) for name, quote in line.parts.items()}
        marks = dict.fromkeys(_mark(one.record, used) for one in found.values() if one)
        rows.append(f"| {line.what} | {_cells(found)} | {', '.join(marks)} |")
    heading = ["| | measured (95% interval) | run |", "|---|---|---|"]
    sources = [f"{mark}: {_source(record)}" for mark, record in used.items()]
    return "\n".join([*heading, *rows, "", *sources, HARDWARE])


def _cells(found: Mapping[str, Found | None]) -> str:
    """Name and figure of each; a unit that all share once, at the end."""
    units = {_unit(one.figure) for one in found.values() if one}
    common = units.pop() if len(units) == 1 and all(found.values()) else None
    cells = []
    for name, one in found.items():
        if one is None:
            cells.append(f"{name} {NOT_MEASURED}")
        else:
            unit = "" if common is not None else f" {_unit(one.figure)}"
            cells.append(f"{name} {with_interval(one.figure)}{unit}".rstrip())
    return f"{'; '.join(cells)} {common or ''}".rstrip()


def _unit(figure: Figure) -> str:
    return "x" if figure.unit == "times" else figure.unit


def find(quote: Quote, records: Sequence[Record]) -> Found | None:
    """In the latest run that has it; of several there the lowest or the highest."""
    for record in reversed(records):
        if record.bench != quote.bench:
            continue
        figures = [one for one in record.figures if matches(one, quote.metric, quote.of)]
        if figures:
            choose = min if quote.pick == "lowest" else max
            return Found(choose(figures, key=lambda one: one.value), record)
    return None


def _mark(record: Record, used: dict[str, Record]) -> str:
    """The benchmark's name, and a number where two of its runs are quoted."""
    for mark, one in used.items():
        if one is record:
            return mark
    same = sum(one.bench == record.bench for one in used.values())
    mark = f"{record.bench} {same + 1}" if same else record.bench
    used[mark] = record
    return mark


def _source(record: Record) -> str:
    """Machine, data with its range, date, code and command of a run, in words."""
    machine = record.machine
    cores = f"{len(machine.cores)} core{'s' * (len(machine.cores) > 1)}"
    effort = ", a short run" if record.setting.get("effort") == "short" else ""
    others = machine.others or 0.0
    words = [
        f"`scanside bench {record.bench}`{effort}",
        record.when[:10],
        f"{machine.name} on {cores}",
        f"{others:.1f} cores busy with other work" if others > BUSY else "",
        f"commit {record.commit}",
        record.bundle and f"bundle {record.bundle}",
        record.data,
    ]
    return ", ".join(filter(None, words)) + "."


def quoted_block(text: str) -> str:
    """What stands between the markers. Raises BenchmarkError unless both are there, once."""
    before, begin, rest = text.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in before + after:
        raise BenchmarkError(
            "there is no place for the figures",
            next_step=f"put one line {BEGIN} and below it one line {END} where they belong",
        )
    return inside.strip("\n")


def rewrite(readme: Path, records: Sequence[Record]) -> bool:
    """Put the block in its place; whether anything changed. Raises BenchmarkError as above, and
    leaves the file alone then."""
    try:
        text = readme.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(
            f"{readme.name} cannot be read", next_step="name a text file with --readme"
        ) from error
    quoted_block(text)
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    made = f"{before}{BEGIN}\n{block(records)}\n{END}{after}"
    if made == text:
        return False
    with replace_file(readme) as stream:
        stream.write(made.encode())
    return True
