"""Figures of any benchmark as tables: a row for each thing that was measured, a column for each
metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scanside.benchmarks.evidence.record import Figure
from scanside.benchmarks.page.numbers import with_interval

FOLDED = 40
"""A table of more rows is shown when it is asked for."""


class Sheet(NamedTuple):
    """names: of the first columns, which say what a row is of. headings: of the others. rows: the
    cells of both; empty where something was not measured. common: what all rows are of."""

    common: str
    names: list[str]
    headings: list[str]
    rows: list[list[str]]

    @property
    def folded(self) -> bool:
        return len(self.rows) > FOLDED


def sheets(figures: Sequence[Figure]) -> list[Sheet]:
    """One for each set of keys that figures are `of`, in the order in which they first appear."""
    groups: dict[frozenset[str], list[Figure]] = {}
    for one in figures:
        groups.setdefault(frozenset(one.of), []).append(one)
    return [_sheet(group) for group in groups.values()]


def _sheet(figures: Sequence[Figure]) -> Sheet:
    keys = list(figures[0].of)
    varying = [key for key in keys if len({one.of[key] for one in figures}) > 1]
    same = [f"{key} {figures[0].of[key]}" for key in keys if key not in varying]
    columns = list(dict.fromkeys((one.metric, one.unit) for one in figures))
    overs = {
        column: {one.over for one in figures if (one.metric, one.unit) == column}
        for column in columns
    }
    rows: dict[tuple[str, ...], dict[tuple[str, str], str]] = {}
    for one in figures:
        row = rows.setdefault(tuple(one.of[key] for key in varying), {})
        row[one.metric, one.unit] = with_interval(one)
    return Sheet(
        ", ".join(same),
        varying,
        [_heading(column, overs[column]) for column in columns],
        [[*of, *(row.get(column, "") for column in columns)] for of, row in rows.items()],
    )


def _heading(column: tuple[str, str], overs: set[str]) -> str:
    metric, unit = column
    (over,) = overs if len(overs) == 1 else ("",)
    text = f"{metric}, {unit}" if unit else metric
    return f"{text}, over {over}" if over else text
