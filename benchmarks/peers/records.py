"""The peers' figures as a record keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from scanside.benchmarks.evidence.paired import Estimate, Times, blocks_of, ratio_of
from scanside.benchmarks.evidence.record import Better, Figure, estimated
from scanside.benchmarks.peers.footprint import Footprint
from scanside.benchmarks.peers.overheads import blocked, median_of
from scanside.benchmarks.peers.rows import EAGER, EngineRow, Filters
from scanside.benchmarks.peers.services import OURS
from scanside.benchmarks.peers.suite import CLIENTS, Contender, Race
from scanside.benchmarks.peers.verdicts import against

Of = dict[str, str]


def race_figures(race: Race) -> Iterator[Figure]:
    model = {"model": race.model, "side": str(race.side)}
    for one in race.contenders:
        of = {"contender": one.name, **model}
        mine = "lower" if one.peer == OURS else "neither"
        trips = one.trips.times - one.floor.times
        yield _figure("overhead", "ms", of, one.over.added, mine, trips)
        yield _figure("p50", "ms", of, median_of(one.trips.times), mine, one.trips.times)
        many = {**of, "clients": str(CLIENTS)}
        rate = one.flow.per_second
        up: Better = "higher" if one.peer == OURS else "neither"
        yield _figure("throughput", "frames a second", many, median_of(rate), up, rate)
        for metric, taken in (
            ("CPU, server", one.flow.server_ms),
            ("CPU, clients", one.flow.client_ms),
        ):
            yield _figure(metric, "ms per frame", many, median_of(taken), mine, taken)
        if one.peer == OURS:
            outside = one.trips.times - one.trips.inside
            name = "overhead outside engine and guard"
            yield _figure(name, "ms", of, median_of(outside), "lower", outside)
            yield from _ratios(one, race, of)


def _ratios(one: Contender, race: Race, of: Of) -> Iterator[Figure]:
    for other in race.contenders:
        if other.peer == OURS:
            continue
        both = {**of, "against": other.name}
        yield estimated(
            "overhead ratio",
            "times",
            both,
            against(one, other),
            "lower",
            over=f"the overhead of {other.name}",
            rounds=_overhead_blocks(one, other),
        )
        mine, theirs = one.flow.per_second, other.flow.per_second
        yield estimated(
            "throughput ratio",
            "times",
            {**both, "clients": str(CLIENTS)},
            ratio_of(mine, theirs),
            "higher",
            over=f"the frames a second of {other.name}",
            rounds=blocked(mine / theirs),
        )


def _overhead_blocks(one: Contender, other: Contender) -> list[float]:
    """In each block; none where a block of the other's overhead is not above nothing."""
    mine = blocks_of(one.trips.times - one.floor.times)
    theirs = blocks_of(other.trips.times - other.floor.times)
    return [] if (theirs <= 0).any() else [float(found) for found in (mine / theirs).ravel()]


def footprint_figures(feet: Sequence[Footprint]) -> Iterator[Figure]:
    for foot in feet:
        of = {"server": foot.peer}
        better: Better = "lower" if foot.peer == OURS else "neither"
        starts = np.array([[one] for one in foot.starts])
        yield _figure("cold start", "s", of, median_of(starts), better, starts)
        for metric, unit, value in (
            ("RSS", "MB", foot.rss_mb),
            ("PSS", "MB", foot.pss_mb),
            ("processes", "count", float(foot.processes)),
            ("idle CPU", "ms per second", foot.idle_ms),
            ("user code, server", "lines", float(foot.server_lines)),
            ("user code, client", "lines", float(foot.client_lines)),
            ("installed, added to the engine's", "MB", foot.added_mb),
            ("installed", "MB", foot.total_mb),
        ):
            yield Figure(metric=metric, unit=unit, of=of, value=value, better=better)


def engine_figures(rows: Sequence[EngineRow], side: int, threads: int) -> Iterator[Figure]:
    for row in rows:
        of = {"engine": row.name, "side": str(side), "threads": str(threads)}
        yield estimated("p50", "ms", of, row.ms, "lower" if row.int8 else "neither")
        yield estimated(
            "speed",
            "times",
            of,
            row.faster,
            "higher" if row.int8 else "neither",
            over=EAGER,
            rounds=row.rounds,
        )
        if row.first_s is not None:
            yield Figure(metric="first call", unit="s", of=of, value=row.first_s, better="neither")


def filter_figures(found: Filters) -> Iterator[Figure]:
    for row in found.rows:
        of = {"method": row.name, "level": f"{found.level:g}"}
        better: Better = "lower" if row.int8 else "neither"
        yield estimated("p50", "ms", of, row.ms, better)
        yield Figure(
            metric="psnr",
            unit="dB",
            of=of,
            value=row.psnr,
            better="higher" if row.int8 else "neither",
        )
        if not row.int8:
            yield estimated(
                "time",
                "times",
                of,
                row.slower,
                "higher",
                over=found.fastest.name,
                rounds=row.rounds,
            )


def _figure(metric: str, unit: str, of: Of, found: Estimate, better: str, values: Times) -> Figure:
    good: Better = "lower" if better == "lower" else "higher" if better == "higher" else "neither"
    return estimated(metric, unit, of, found, good, rounds=blocked(values))
