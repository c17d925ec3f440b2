"""The figures of a history over time, and the latest run held against those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace

from scanside.benchmarks.evidence.changes import (
    LEAST,
    Change,
    Circumstances,
    Verdict,
    change_of,
    judged,
)
from scanside.benchmarks.evidence.choosing import LAST, alike, choose
from scanside.benchmarks.evidence.compare import Key, by_key, differences, said, spreads
from scanside.benchmarks.evidence.kinds import Kind, kind_of
from scanside.benchmarks.evidence.record import Figure, Record
from scanside.benchmarks.evidence.spread import Spread, assumed, crowded, median_of

RECENT = 5
"""Runs whose median the latest is held against, so that a creeping loss shows."""
FEWEST = 3
"""Runs that have a median worth the name."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One figure over time. places: which of its benchmark's runs have it; figures: theirs."""

    bench: str
    name: str
    places: list[int]
    figures: list[Figure]


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """runs: of each benchmark, all of them, oldest first. lines: of the figures that were asked
    for. changes: of the latest run of each benchmark against the run before that was run alike,
    and against the median of up to `RECENT` such runs on the same machine."""

    runs: dict[str, list[Record]]
    lines: list[Line]
    changes: list[Change]
    notes: list[str]

    @property
    def regressions(self) -> list[Change]:
        return [one for one in self.changes if one.verdict is Verdict.WORSE]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which figures: all where nothing is said. of: pairs that a figure must have."""

    benches: frozenset[str] = frozenset()
    metrics: frozenset[str] = frozenset()
    of: Mapping[str, str] = {}

    def has(self, bench: str, figure: Figure) -> bool:
        return (
            (not self.benches or bench in self.benches)
            and (not self.metrics or figure.metric in self.metrics)
            and all(figure.of.get(key) == value for key, value in self.of.items())
        )


def review(
    records: Sequence[Record], wanted: Wanted, *, least: float = LEAST, times: bool = False
) -> Review:
    """records: a whole history, oldest first."""
    runs: dict[str, list[Record]] = {}
    for one in records:
        if not wanted.benches or one.bench in wanted.benches:
            runs.setdefault(one.bench, []).append(one)
    changes, notes = [], []
    for latest in choose([one for found in runs.values() for one in found], LAST):
        past = alike(runs[latest.bench], latest)
        if not past:
            notes.append(f"{latest.bench}: nothing was run alike before: nothing to judge it by")
            continue
        notes += differences(past[-1], latest)
        notes += _left_out(past[-1], latest, wanted)
        where = Circumstances(
            same_machine=True,
            same_data=True,
            crowded=crowded(latest.machine, past[-1].machine),
            times=times,
            least=least,
        )
        # A median leaves out runs on a crowded machine, so only the latest one's matters.
        median = replace(where, crowded=crowded(latest.machine))
        least_spread = assumed(
            one.machine for one in (latest, *past[-RECENT:]) if not crowded(one.machine)
        )
        known = spreads(past, least_spread)
        before = by_key(past[-1])
        for key, figure in by_key(latest).items():
            if not wanted.has(latest.bench, figure):
                continue
            spread = known.get(key, least_spread)
            if key in before:
                changes.append(change_of(latest.bench, before[key], figure, where, spread))
            changes += _against_median(latest.bench, key, figure, past, median, spread)
    return Review(
        runs=runs, lines=_lines(runs, wanted), changes=judged(changes, least), notes=notes
    )


def _against_median(
    bench: str,
    key: Key,
    figure: Figure,
    past: Sequence[Record],
    where: Circumstances,
    spread: Spread,
) -> list[Change]:
    exact = kind_of(figure) not in (Kind.RATIO, Kind.CLOCK)
    runs = [run for run in past if exact or not crowded(run.machine)]
    recent = [found for run in runs if (found := by_key(run).get(key)) is not None][-RECENT:]
    if len(recent) < FEWEST:
        return []
    middle = float(np.median([one.value for one in recent]))
    stands = replace(recent[-1], value=middle, low=None, high=None, rounds=[])
    change = change_of(
        bench,
        stands,
        figure,
        where,
        spread,
        against=f"the median of {len(recent)} runs",
        reference=median_of(recent, spread),
    )
    return [change]


def _left_out(before: Record, latest: Record, wanted: Wanted) -> list[str]:
    mine = by_key(latest)
    return [
        f"missing: {said(before.bench, figure)}"
        for key, figure in by_key(before).items()
        if key not in mine and wanted.has(before.bench, figure)
    ]


def _lines(runs: Mapping[str, Sequence[Record]], wanted: Wanted) -> list[Line]:
    found: dict[tuple[str, Key], Line] = {}
    for bench, records in runs.items():
        for place, record in enumerate(records):
            for key, figure in by_key(record).items():
                if not wanted.has(bench, figure):
                    continue
                line = found.setdefault(
                    (bench, key),
                    Line(bench=bench, name=said("", figure), places=[], figures=[]),
                )
                line.places.append(place)
                line.figures.append(figure)
    return list(found.values())
