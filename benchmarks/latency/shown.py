"""The tables of `bench latency`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from statistics import median

from rich.table import Table

from scanside.benchmarks.evidence.paired import Estimate
from scanside.benchmarks.evidence.record import Record
from scanside.benchmarks.latency.tails import Tail
from scanside.benchmarks.latency.whole import NetworkRow, Report
from scanside.benchmarks.tables import table

PERCENTILES = ("p50 ms", "p90", "p99", "p99.9", "max", "jitter")
NONE = "–"
MANY = 100
LETTERS = "AB"
"""Of the baselines, whose names are too long for a heading."""


def tables(report: Report, record: Record) -> Iterator[Table]:
    """The grid, the networks alone, starts and memory; a Jetson's state where it was one."""
    yield table(
        f"Latency: {where(record)}",
        ("frame through", "n", *PERCENTILES, "p50 over in process"),
        [
            (
                _words(row.of),
                str(row.tail.count),
                *cells(row.tail),
                ratio(row.slower),
            )
            for row in report.rows
        ],
    )
    for side, threads in dict.fromkeys((row.side, row.threads) for row in report.networks):
        mine = [row for row in report.networks if (row.side, row.threads) == (side, threads)]
        yield _networks(f"Networks alone, {side} x {side}, {threads} threads each", mine)
    yield table(
        "A daemon from its start, files in the page cache; memory idle, and after 20 frames more",
        ("engine", "ready s", "first answer s", "RSS MB idle", "PSS", "RSS MB", "PSS"),
        [
            (
                f"{one.engine}, {one.side} x {one.side}, {one.threads} threads",
                f"{median(one.ready_s):.2f}",
                f"{one.first_answer:.2f} ({min(one.answer_s):.2f}..{max(one.answer_s):.2f})",
                *(
                    f"{median(found):.0f}"
                    for found in (one.idle_rss_mb, one.idle_pss_mb, one.rss_mb, one.pss_mb)
                ),
            )
            for one in report.starts
        ],
    )
    if report.power:
        yield table("The device", ("", "read"), list(report.power.items()))


def _networks(title: str, rows: list[NetworkRow]) -> Table:
    bases = list(rows[0].faster)
    title += "\nfaster: times as fast as " + "; ".join(
        f"{letter}: {base}" for letter, base in zip(LETTERS, bases, strict=False)
    )
    return table(
        title,
        ("network", "p50 ms", "p90", "max", *(f"than {LETTERS[n]}" for n in range(len(bases)))),
        [
            (
                row.name,
                _value(row.tail.p50),
                _value(row.tail.p90),
                f"{row.tail.largest:.2f}",
                *(ratio(row.faster[base]) for base in bases),
            )
            for row in rows
        ],
    )


def where(record: Record) -> str:
    """Machine, bundle, data and date of a record, in two lines."""
    cores = ",".join(map(str, record.machine.cores))
    return (
        f"{record.bundle}; {record.machine.name}, cores {cores}, {date.today().isoformat()}\n"
        f"{record.data}"
    )


def cells(tail: Tail) -> tuple[str, ...]:
    """As `PERCENTILES`. Their intervals are in the record: a terminal has no room for them."""
    return (
        *(_value(one) for one in (tail.p50, tail.p90, tail.p99, tail.p999)),
        f"{tail.largest:.2f}",
        _value(tail.jitter),
    )


def ratio(found: Estimate | None) -> str:
    """Its interval below it: side by side they would be cut off in a narrow terminal."""
    if found is None:
        return NONE
    digits = 0 if found.value >= MANY else 2
    low, high = (f"{end:.{digits}f}" for end in (found.low, found.high))
    return f"{found.value:.{digits}f}\n{low}..{high}"


def _value(found: Estimate | None) -> str:
    return NONE if found is None else f"{found.value:.2f}"


def _words(of: dict[str, str]) -> str:
    words = [of["engine"], of["transport"], f"{of['side']}²", f"{of['threads']} threads"]
    if "batch" in of:
        words.append(f"batch of {of['batch']}, per frame")
    if "streams" in of:
        words.append(f"{of['streams']} streams")
    return ", ".join(words)
