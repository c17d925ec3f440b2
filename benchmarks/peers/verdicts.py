"""The bars, and what was measured held against them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scanside.benchmarks.evidence.paired import Estimate, ratio_of
from scanside.benchmarks.peers.overheads import ratio_of_overheads
from scanside.benchmarks.peers.rows import EAGER, EngineRow, Filters
from scanside.benchmarks.peers.services import (
    FASTAPI_TCP,
    FASTAPI_UNIX,
    GRPC,
    HTTP,
    IPC,
    OURS,
    SHARED,
    TCP,
    TRITON_SHARED,
)
from scanside.benchmarks.peers.suite import NEAR_IDENTITY, Contender, Race
from scanside.benchmarks.report import Check
from scanside.benchmarks.serving.verdicts import NO_BAR

OVERHEAD = {
    (TCP, "PyTriton"): 1 / 3,
    (IPC, "PyTriton"): 1 / 5,
    (SHARED, "PyTriton"): 1 / 10,
    (TCP, FASTAPI_TCP): 1.0,
    (IPC, FASTAPI_TCP): 0.6,
}
"""Ours over theirs, near-identity model, at the first side. Of PyTriton's HTTP and gRPC the
better one counts; like beside like, unix socket and shared memory, stands without a bar."""
FASTER_THAN_EAGER = 8.0
FASTER_THAN_FILTERS = 20.0


def against(mine: Contender, theirs: Contender) -> Estimate:
    """Overhead of one over the other's."""
    return ratio_of_overheads(
        mine.trips.times, mine.floor.times, theirs.trips.times, theirs.floor.times
    )


def best_of(race: Race, names: Sequence[str]) -> Contender | None:
    """Of those that took part the one with the smallest overhead."""
    found = [one for one in map(race.of, names) if one is not None]
    return min(found, key=lambda one: one.over.added.value, default=None)


def serving_verdicts(races: Sequence[Race]) -> Iterator[Check]:
    """Bars are for the near-identity model at the first side; the same figures of the others have
    none."""
    for number, race in enumerate(races):
        judged = number == 0 and race.model == NEAR_IDENTITY
        where = f"{race.model}, {race.side} x {race.side}"
        for (name, other), bar in OVERHEAD.items():
            theirs = best_of(race, (HTTP, GRPC) if other == "PyTriton" else (other,))
            mine = race.of(name)
            if mine is None or theirs is None:
                continue
            found = against(mine, theirs)
            yield Check(
                what=f"{where}, {name}: overhead over that of {theirs.name}",
                measured=f"{_unsure(found, bar, judged)}{found} times; "
                f"{mine.over.added} ms over {theirs.over.added} ms",
                bar=f"at most {bar:.2g} times" if judged else NO_BAR,
                passed=not judged or found.value <= bar,
            )
        for name, other in ((IPC, FASTAPI_UNIX), (SHARED, TRITON_SHARED)):
            mine, theirs = race.of(name), race.of(other)
            if mine is not None and theirs is not None:
                yield Check(
                    what=f"{where}, {name}: overhead over that of {theirs.name}",
                    measured=f"{against(mine, theirs)} times",
                    bar=NO_BAR,
                    passed=True,
                )
        yield from _throughput(race, where, judged)


def _throughput(race: Race, where: str, judged: bool) -> Iterator[Check]:
    others = [one for one in race.contenders if one.peer != OURS]
    if not others:
        return
    theirs = max(others, key=rate_of)
    for mine in race.contenders:
        if mine.peer != OURS:
            continue
        found = ratio_of(mine.flow.per_second, theirs.flow.per_second)
        yield Check(
            what=f"{where}, {mine.name}: frames a second of 4 clients over the best peer's",
            measured=f"{_unsure(found, 1.0, judged)}{found} times; {rate_of(mine):.0f} over "
            f"{rate_of(theirs):.0f} of {theirs.name}",
            bar="over 1 times" if judged else NO_BAR,
            passed=not judged or found.value > 1,
        )


def rate_of(one: Contender) -> float:
    """Frames a second, median over rounds."""
    rates = sorted(one.flow.per_second.ravel())
    return float(rates[len(rates) // 2])


def engine_verdicts(rows: Sequence[EngineRow]) -> Iterator[Check]:
    fastest = max((row for row in rows if row.int8), key=lambda row: row.faster.value)
    yield Check(
        what=f"{fastest.name} over {EAGER}",
        measured=f"{_unsure(fastest.faster, FASTER_THAN_EAGER, True)}{fastest.faster} times as "
        "fast",
        bar=f"at least {FASTER_THAN_EAGER:g} times",
        passed=fastest.faster.value >= FASTER_THAN_EAGER,
    )


def filter_verdicts(found: Filters) -> Iterator[Check]:
    best, fastest = found.best, found.fastest
    yield Check(
        what=f"{fastest.name} over {best.name}, the best classical method here",
        measured=f"{_unsure(best.slower, FASTER_THAN_FILTERS, True)}{best.slower} times as fast; "
        f"PSNR {fastest.psnr:.2f} and {best.psnr:.2f} dB over {found.data_range}",
        bar=f"at least {FASTER_THAN_FILTERS:g} times",
        passed=best.slower.value >= FASTER_THAN_FILTERS,
    )


def _unsure(found: Estimate, bar: float, judged: bool) -> str:
    """A word of warning where the bar lies within the interval."""
    return "unresolved, " if judged and found.low <= bar < found.high else ""
