"""What `bench latency` leaves in the history."""

from __future__ import annotations

from collections.abc import Iterator

from scanside.benchmarks.evidence.paired import Estimate
from scanside.benchmarks.evidence.record import Figure, estimated
from scanside.benchmarks.latency.grid import FLOOR
from scanside.benchmarks.latency.start import ColdStart
from scanside.benchmarks.latency.tails import Tail
from scanside.benchmarks.latency.whole import NetworkRow, Report, Row


def latency_figures(report: Report) -> list[Figure]:
    """All of a report's."""
    found = [figure for row in report.rows for figure in _of_row(row)]
    found += [figure for row in report.networks for figure in _of_network(row)]
    found += [figure for start in report.starts for figure in _of_start(start)]
    return found


def tail_figures(tail: Tail, of: dict[str, str]) -> Iterator[Figure]:
    """Percentiles, maximum and jitter, ms."""
    named: dict[str, Estimate | None] = {
        "p50": tail.p50,
        "p90": tail.p90,
        "p99": tail.p99,
        "p99.9": tail.p999,
        "jitter": tail.jitter,
    }
    for metric, found in named.items():
        if found is not None:
            yield estimated(metric, "ms", of, found, "lower")
    yield Figure(metric="maximum", unit="ms", of=of, value=tail.largest, better="lower")


def _of_row(row: Row) -> Iterator[Figure]:
    yield from tail_figures(row.tail, row.of)
    if row.slower is not None:
        yield estimated(
            "round trip", "times", row.of, row.slower, "lower", over=FLOOR, rounds=row.rounds
        )


def _of_network(row: NetworkRow) -> Iterator[Figure]:
    of = {"network": row.name, "side": str(row.side), "threads": str(row.threads)}
    yield from tail_figures(row.tail, of)
    for base, found in row.faster.items():
        if base != row.name:
            over = {**of, "over": base}
            yield estimated(
                "times as fast", "times", over, found, "higher", over=base, rounds=row.rounds[base]
            )


def _of_start(start: ColdStart) -> Iterator[Figure]:
    of = {"engine": start.engine, "side": str(start.side), "threads": str(start.threads)}
    series = {
        ("start to ready", "s"): start.ready_s,
        ("start to first answer", "s"): start.answer_s,
        ("idle RSS", "MB"): start.idle_rss_mb,
        ("idle PSS", "MB"): start.idle_pss_mb,
        ("RSS", "MB"): start.rss_mb,
        ("PSS", "MB"): start.pss_mb,
    }
    for (metric, unit), found in series.items():
        middle = sorted(found)[len(found) // 2]
        yield Figure(
            metric=metric, unit=unit, of=of, value=middle, better="lower", rounds=list(found)
        )
