"""Which runs a report shows: of every benchmark the last one of each bundle."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from scanside.benchmarks.evidence.record import Figure, Record

KNOWN = ("latency", "gaps", "calls", "serving", "drift", "quality", "pareto", "peers", "scale")
"""In the order of a report; others follow in that of the history."""


class Section(NamedTuple):
    """bench: its name. records: the last of each bundle, newest first; none without a run."""

    bench: str
    records: list[Record]


def sections(records: Sequence[Record]) -> list[Section]:
    """records: oldest first."""
    found: dict[str, dict[str, Record]] = {name: {} for name in KNOWN}
    for one in records:
        mine = found.setdefault(one.bench, {})
        mine.pop(one.bundle, None)  # a later run of the same bundle takes a later place
        mine[one.bundle] = one
    return [Section(bench, list(reversed(mine.values()))) for bench, mine in found.items()]


def matches(figure: Figure, metric: str, of: dict[str, str]) -> bool:
    """Whether it is that metric of something that is all this; a star stands for anything."""
    return figure.metric == metric and all(
        fits(figure.of.get(key, ""), wanted) for key, wanted in of.items()
    )


def fits(said: str, wanted: str) -> bool:
    return fnmatchcase(said, wanted) if "*" in wanted else said == wanted
