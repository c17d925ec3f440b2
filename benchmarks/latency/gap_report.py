"""What `bench gaps` prints, and what it leaves in the history."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from scanside.benchmarks.evidence.paired import Times
from scanside.benchmarks.evidence.record import Figure, Record, estimated
from scanside.benchmarks.latency.gaps import WARM, Gaps
from scanside.benchmarks.latency.grid import FLOOR, IPC
from scanside.benchmarks.latency.kept import tail_figures
from scanside.benchmarks.latency.shown import NONE, PERCENTILES, cells, ratio, where
from scanside.benchmarks.latency.tails import percentile, tail_of
from scanside.benchmarks.latency.verdicts import unsure
from scanside.benchmarks.report import Check
from scanside.benchmarks.serving.verdicts import NO_BAR
from scanside.benchmarks.tables import table

EXCESS = 1.2
"""p99.9/p50 through ipc over the same in process."""
PAYS = 1.05
"""A frame after a gap must take so many times as long as one kept warm for that to be worth the
processor's time."""


def gap_verdicts(found: Gaps, *, short: bool) -> Iterator[Check]:
    """The bar is for ipc and the whole length of the run."""
    for name, one in found.excess.items():
        judged = name == IPC and not short
        yield Check(
            what=f"{name}: p99.9/p50 over that in process, {found.paced.times[name].size} frames "
            f"each in {found.paced.seconds:.0f} s",
            measured=f"{unsure(one, EXCESS) if judged else ''}{one} times; {found.spread[name]} "
            f"over {found.spread[FLOOR]}",
            bar=f"at most {EXCESS:g} times" if judged else NO_BAR,
            passed=not judged or one.value <= EXCESS,
        )
    for gap, one in found.pays.items():
        if gap:
            yield Check(
                what=f"keeping warm through a gap of {gap * 1000:g} ms, in process: p50 without it "
                "over p50 with it",
                measured=f"{one} times; it {'pays' if one.low > PAYS else 'does not pay'} here",
                bar=NO_BAR,
                passed=True,
            )


def gap_tables(found: Gaps, record: Record) -> Iterator[Table]:
    """The schedule, then the ladder."""
    paced = found.paced
    yield table(
        f"{paced.at_once} at once between two frames, {paced.late:.1%} of frames began late: "
        f"{where(record)}",
        ("through", "n", "p50 ms", *PERCENTILES[2:], "p99.9/p50"),
        [
            (name, str(times.size), shown[0], *shown[2:], ratio(found.spread[name]))
            for name, times in paced.times.items()
            if (shown := cells(tail_of(times)))
        ],
    )
    yield table(
        "After an idle gap, nothing else running",
        ("through", "gap ms", "n", "p50 ms", "p99", "p50 over no gap"),
        [
            (
                name,
                f"{gap * 1000:g}",
                str((times := found.ladder.rounds(name, gap)).size),
                percentile_of(times, 50.0),
                percentile_of(times, 99.0),
                ratio(found.costs.get((name, gap))),
            )
            for name, gap in found.ladder.times
        ],
    )


def percentile_of(times: Times, which: float) -> str:
    found = percentile(times, which)
    return NONE if found is None else f"{found.value:.2f}"


def tail_lines(found: Gaps) -> Iterator[str]:
    """Where the tail comes from: what is slow in both at one moment is the machine's doing."""
    for name, (share, chance) in found.together.items():
        yield (
            f"       of the slowest 1% in process {share:.0%} lie within 0.1 s of those of {name}; "
            f"by chance it would be {chance:.0%}"
        )


def gap_figures(found: Gaps) -> list[Figure]:
    """Of the schedule, of the ladder, and what keeping warm would give."""
    figures: list[Figure] = []
    for name, times in found.paced.times.items():
        of = {"transport": name, "run": "schedule"}
        figures += tail_figures(tail_of(times), of)
        figures.append(estimated("p99.9/p50", "times", of, found.spread[name], "neither"))
        if name in found.excess:
            rounds = found.excess_blocks[name]
            figures.append(
                estimated(
                    "excess tail",
                    "times",
                    of,
                    found.excess[name],
                    "lower",
                    over=FLOOR,
                    rounds=rounds,
                )
            )
    for (name, gap), one in found.costs.items():
        of = {"transport": name, "gap": f"{gap * 1000:g} ms"}
        figures.append(estimated("after a gap", "times", of, one, "neither", over="no gap"))
    for gap, one in found.pays.items():
        of = {"transport": FLOOR, "gap": f"{gap * 1000:g} ms"}
        figures.append(estimated("not kept warm", "times", of, one, "neither", over=WARM))
    return figures
