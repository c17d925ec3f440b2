"""All of `bench gaps`: the tail at a steady rate, and what an idle gap costs the next frame."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from scanside.benchmarks.evidence.paired import Estimate
from scanside.benchmarks.latency.cells import staged
from scanside.benchmarks.latency.device import DeviceWatch
from scanside.benchmarks.latency.grid import FLOOR, Point
from scanside.benchmarks.latency.schedule import (
    Call,
    Ladder,
    Paced,
    Schedule,
    kept_warm,
    run_ladder,
    run_schedule,
)
from scanside.benchmarks.latency.tails import excess, in_blocks, interval, spread, times_slower
from scanside.runtime.allocator import keep_freed_memory

WARM = f"{FLOOR}, kept warm"
TAIL = 0.99


class GapEffort(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of the schedule and of the ladder; block_s of each rung in a round; gaps, seconds."""

    seconds: float
    ladder_s: float
    block_s: float
    gaps: tuple[float, ...]


SHORT = GapEffort(seconds=24.0, ladder_s=12.0, block_s=0.3, gaps=(0.0, 0.066, 0.5))
FULL = GapEffort(
    seconds=600.0, ladder_s=300.0, block_s=1.0, gaps=(0.0, 0.02, 0.066, 0.25, 0.5, 1.0)
)
WARM_EVERY_S = 0.02


class Gaps(msgspec.Struct, frozen=True, kw_only=True):
    """spread: p99.9 over p50 of each contender. excess: that over the one in process, of those
    through the daemon; excess_blocks: in each block. costs: p50 after a gap over p50 without one,
    by contender and gap. pays: p50 after a gap over the same kept warm, in process. together: of
    the slowest 1% in process, the share near which the other contender was among its slowest 1%
    too; chance: the share that it would be if they had nothing to do with each other."""

    paced: Paced
    ladder: Ladder
    spread: dict[str, Estimate]
    excess: dict[str, Estimate]
    excess_blocks: dict[str, list[float]]
    costs: dict[tuple[str, float], Estimate]
    pays: dict[float, Estimate]
    together: dict[str, tuple[float, float]]
    notes: list[str]


def measure_gaps(
    bundle: Path,
    *,
    engine: str,
    side: int,
    threads: int,
    transports: tuple[str, ...],
    schedule: Schedule,
    effort: GapEffort,
    watch: DeviceWatch,
) -> Gaps:
    """One engine in this process and through a daemon on each transport, on one schedule; then
    gap by gap, in process with and without frames that keep it warm."""
    keep_freed_memory()
    watch.start()
    try:
        with tempfile.TemporaryDirectory() as folder, staged(bundle, Path(folder)) as stage:
            calls: dict[str, Call] = {}
            for transport in dict.fromkeys((FLOOR, *transports)):
                cell = stage.cell(
                    Point(engine=engine, side=side, threads=threads, transport=transport)
                )
                if cell is not None:
                    calls[transport] = partial(_one, cell.call)
            paced = run_schedule(calls, schedule, effort.seconds, watch.during)
            rungs = {**calls, WARM: calls[FLOOR]}
            waits = {WARM: kept_warm(calls[FLOOR], WARM_EVERY_S)}
            ladder = run_ladder(rungs, waits, effort.gaps, effort.ladder_s, effort.block_s)
    finally:
        watch.stop()
    return judged(paced, ladder, stage.notes)


def _one(call: Callable[[int], Sequence[float]]) -> float:
    return call(1)[0]


def judged(paced: Paced, ladder: Ladder, notes: list[str]) -> Gaps:
    """The figures of what was timed."""
    floor = paced.times[FLOOR]
    others = [name for name in paced.times if name != FLOOR]
    gaps = list(dict.fromkeys(gap for _, gap in ladder.times))
    names = list(dict.fromkeys(name for name, _ in ladder.times))
    first = gaps[0]
    return Gaps(
        paced=paced,
        ladder=ladder,
        spread={name: interval(spread, mine) for name, mine in paced.times.items()},
        excess={name: interval(excess, paced.times[name], floor) for name in others},
        excess_blocks={name: in_blocks(excess, paced.times[name], floor) for name in others},
        costs={
            (name, gap): interval(
                times_slower, ladder.rounds(name, gap), ladder.rounds(name, first)
            )
            for name in names
            for gap in gaps[1:]
        },
        pays={
            gap: interval(times_slower, ladder.rounds(FLOOR, gap), ladder.rounds(WARM, gap))
            for gap in gaps
        },
        together={name: _together(paced, name) for name in others},
        notes=notes,
    )


def _together(paced: Paced, name: str, within_s: float = 0.1) -> tuple[float, float]:
    """See `Gaps.together`; near is within so many seconds."""
    slow = {}
    for one in (FLOOR, name):
        times = paced.times[one]
        slow[one] = np.sort(paced.began[one][times >= np.quantile(times, TAIL)])
    theirs = slow[name]
    index = np.searchsorted(theirs, slow[FLOOR])
    before = np.abs(slow[FLOOR] - theirs[np.clip(index - 1, 0, len(theirs) - 1)])
    after = np.abs(slow[FLOOR] - theirs[np.clip(index, 0, len(theirs) - 1)])
    chance = 1 - np.exp(-2 * within_s * len(theirs) / paced.seconds)
    return float((np.minimum(before, after) < within_s).mean()), float(chance)
