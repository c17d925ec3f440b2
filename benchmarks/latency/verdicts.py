"""The bars of speed and of the tail, and what was measured held against them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scanside.benchmarks.evidence.paired import Estimate
from scanside.benchmarks.latency.whole import NetworkRow
from scanside.benchmarks.report import Check
from scanside.benchmarks.serving.verdicts import NO_BAR

FASTER = 8.0
JUDGED_SIDE = 512
INT8 = ", INT8"


def network_verdicts(rows: Sequence[NetworkRow]) -> Iterator[Check]:
    """The fastest engine's INT8 over float eager PyTorch in each of its layouts, where a run gave
    its float networks. At the side that the bar is for it must hold against both."""
    for side, threads in dict.fromkeys((row.side, row.threads) for row in rows):
        here = [row for row in rows if (row.side, row.threads) == (side, threads)]
        ours = [row for row in here if row.name.endswith(INT8)]
        if not ours or not here[0].name.startswith("PyTorch"):
            continue
        fastest = min(ours, key=lambda row: row.tail.p50.value)
        for baseline, found in fastest.faster.items():
            judged = side == JUDGED_SIDE
            yield Check(
                what=f"{side} x {side}, {threads} threads: {fastest.name}, pruned, over {baseline}",
                measured=f"{unsure(found, FASTER) if judged else ''}{found} times as fast",
                bar=f"at least {FASTER:g} times" if judged else NO_BAR,
                passed=not judged or found.value >= FASTER,
            )


def unsure(found: Estimate, bar: float) -> str:
    """A word of warning where the bar lies within the interval."""
    return "unresolved, " if found.low <= bar < found.high else ""
