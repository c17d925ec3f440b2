"""What `bench serving` leaves in the history."""

from __future__ import annotations

from collections.abc import Iterator

from scanside.benchmarks.evidence.record import Figure, estimated
from scanside.benchmarks.serving.footprint import Installation, Start
from scanside.benchmarks.serving.load import Deafness, Throughput
from scanside.benchmarks.serving.roundtrip import FLOOR, RoundTrips
from scanside.benchmarks.serving.suite import Report

DATA = "a synthetic CT body of 12 bits"


def serving_figures(report: Report) -> list[Figure]:
    """All of a report's: ratios with their rounds, times and sizes as they are."""
    found = [figure for one in report.trips for figure in _of_trips(one)]
    found += [*_of_load(report.throughput), *_of_deafness(report.deafness)]
    for start in report.starts:
        found += _of_start(start)
    if report.installation is not None:
        found.append(_of_installation(report.installation))
    return found


def _of_trips(one: RoundTrips) -> Iterator[Figure]:
    where = {"model": one.model, "side": str(one.side)}
    yield _plain("p50", "ms", {"transport": FLOOR, **where}, one.floor_p50)
    yield _plain("p99", "ms", {"transport": FLOOR, **where}, one.floor_p99)
    for name, over in one.over.items():
        of = {"transport": name, **where}
        yield estimated(
            "round trip", "times", of, over.ratio, "lower", over=FLOOR, rounds=over.ratio_rounds
        )
        yield estimated("added", "ms", of, over.added, "lower", over=FLOOR)
        yield _plain("p50", "ms", of, over.p50)
        yield _plain("p99", "ms", of, over.p99)
        yield _plain("outside engine and guard", "ms", of, one.outside_ms[name])


def _of_load(flow: Throughput) -> Iterator[Figure]:
    for name, rate in flow.per_second.items():
        of = {"load": name, "side": str(flow.side)}
        yield Figure(metric="rate", unit="frames/s", of=of, value=rate, better="higher")
        if name in flow.share:
            rounds = flow.share_rounds.get(name)
            share = flow.share[name]
            yield estimated("share", "times", of, share, "higher", over=FLOOR, rounds=rounds)


def _of_deafness(deaf: Deafness) -> Iterator[Figure]:
    of = {"load": "a client that does not read", "side": str(deaf.side)}
    yield estimated(
        "p99 of others",
        "times",
        of,
        deaf.ratio,
        "lower",
        over="without it",
        rounds=deaf.ratio_rounds,
    )
    yield _plain("p50 of others", "ms", of, deaf.p50_with)
    yield _plain("p99 of others, time", "ms", of, deaf.p99_with)


def _of_start(start: Start) -> Iterator[Figure]:
    of = {"engine": start.engine}
    yield Figure(
        metric="start to ready",
        unit="s",
        of=of,
        value=start.seconds,
        better="lower",
        rounds=start.all_seconds,
    )
    yield _plain("idle RSS", "MB", of, start.rss_mb)
    yield _plain("idle PSS", "MB", of, start.pss_mb)


def _of_installation(found: Installation) -> Figure:
    return _plain("base install", "MB", {"part": "site-packages"}, found.total_mb)


def _plain(metric: str, unit: str, of: dict[str, str], value: float) -> Figure:
    """Without an interval; less is better."""
    return Figure(metric=metric, unit=unit, of=of, value=value, better="lower")
