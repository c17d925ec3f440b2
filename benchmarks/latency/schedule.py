"""Frames at a steady rate with idle gaps between bursts, several contenders on one schedule.

A burst is so many frames at the rate; then everybody pauses. As many contenders as fit between two
frames have their burst at the same time, each at its own place between the others' frames: so each
runs at the full rate, all see the same moments of the machine, and never two at once. Where fewer
fit they take turns, burst by burst.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from scanside.benchmarks.evidence.paired import Times
from scanside.runtime.progress import task

MARGIN = 1.4
"""Of a place between two frames over what a frame usually takes."""
LATE_S = 0.002
WARM_UP = 10
"""Calls of each contender that do not count."""
Call = Callable[[], float]
"""Makes one call, checks its answer, and returns its ms."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """rate: frames a second. burst: frames. pauses: seconds after a burst, in turn."""

    rate: float = 15.0
    burst: int = 15
    pauses: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)

    def blocks(self, seconds: float, groups: int) -> int:
        """How many there are in about so many seconds: a block has every contender's burst before
        every pause."""
        once = groups * (len(self.pauses) * self.burst / self.rate + sum(self.pauses))
        return max(2, round(seconds / once))

    def at_once(self, slowest_ms: float, contenders: int) -> int:
        """How many contenders fit between two frames, one at least."""
        fit = int(1000 / self.rate / (MARGIN * slowest_ms))
        return max(1, min(contenders, fit))


class Paced(NamedTuple):
    """times: (blocks, frames in a block) in ms, by contender. began: when each call began, in
    seconds from the start, likewise. late: share of all frames that began more than `LATE_S` after
    their time, since a call before took too long. at_once: contenders between two frames."""

    times: dict[str, Times]
    began: dict[str, Times]
    late: float
    at_once: int
    seconds: float


def run_schedule(
    calls: Mapping[str, Call],
    schedule: Schedule,
    seconds: float,
    between: Callable[[], object] = lambda: None,
) -> Paced:
    """About so many seconds of it, all contenders together. between: is called after each block."""
    names = list(calls)
    slowest = max(map(_usual, calls.values()))
    size = schedule.at_once(slowest, len(names))
    blocks = schedule.blocks(seconds, -(-len(names) // size))
    frames = len(schedule.pauses) * schedule.burst
    times = {name: np.empty((blocks, len(schedule.pauses), schedule.burst)) for name in names}
    began = {name: np.empty_like(times[name]) for name in names}
    rng = np.random.default_rng(0)
    late, start = 0, time.perf_counter()
    with task(f"{schedule.rate:g} frames a second, {size} at once", blocks) as progress:
        for block in range(blocks):
            for number, pause in enumerate(schedule.pauses):
                for group in _groups(list(rng.permutation(names)), size):
                    taken, at = _burst({name: calls[name] for name in group}, schedule)
                    for place, name in enumerate(group):
                        times[name][block, number] = taken[:, place]
                        began[name][block, number] = at[:, place] - start
                    late += _late(at, schedule)
                    time.sleep(pause)
            between()
            progress.advance()
    return Paced(
        times={name: mine.reshape(blocks, frames) for name, mine in times.items()},
        began={name: mine.reshape(blocks, frames) for name, mine in began.items()},
        late=late / (blocks * frames * len(names)),
        at_once=size,
        seconds=time.perf_counter() - start,
    )


def _groups(names: list[str], size: int) -> list[list[str]]:
    return [names[first : first + size] for first in range(0, len(names), size)]


def _burst(calls: Mapping[str, Call], schedule: Schedule) -> tuple[Times, Times]:
    """ms of each call, and when it began: both (frames, contenders)."""
    taken = np.empty((schedule.burst, len(calls)))
    began = np.empty_like(taken)
    start = time.perf_counter()
    for frame in range(schedule.burst):
        for place, call in enumerate(calls.values()):
            due = start + (frame + place / len(calls)) / schedule.rate
            time.sleep(max(0.0, due - time.perf_counter()))
            began[frame, place] = time.perf_counter()
            taken[frame, place] = call()
    # The last frame's time is over too: without a pause the next burst goes on at the rate.
    time.sleep(max(0.0, start + schedule.burst / schedule.rate - time.perf_counter()))
    return taken, began


def _late(began: Times, schedule: Schedule) -> int:
    frames, places = began.shape
    due = np.arange(frames)[:, None] + np.arange(places)[None] / places
    return int((began - began[0, 0] - due / schedule.rate > LATE_S).sum())


class Ladder(NamedTuple):
    """ms of calls after idle gaps, by contender and gap in seconds: one array for each round.
    seconds: that it took."""

    times: dict[tuple[str, float], list[Times]]
    seconds: float

    def rounds(self, name: str, gap: float) -> Times:
        """(rounds, calls)."""
        return np.array(self.times[name, gap])


def run_ladder(
    calls: Mapping[str, Call],
    waits: Mapping[str, Callable[[float], object]],
    gaps: Sequence[float],
    seconds: float,
    block_s: float,
) -> Ladder:
    """Every contender after every gap, in a new random order each round, about `block_s` of each.

    waits: how a contender spends a gap, by its name [asleep]. Nothing else runs meanwhile.
    """
    usual = {name: _usual(call) for name, call in calls.items()}
    rungs = [(name, gap) for name in calls for gap in gaps]
    counts = {
        (name, gap): max(1, round(block_s / (gap + usual[name] / 1000))) for name, gap in rungs
    }
    once = sum(counts[rung] * (rung[1] + usual[rung[0]] / 1000) for rung in rungs)
    rounds = max(3, round(seconds / once))
    times: dict[tuple[str, float], list[Times]] = {rung: [] for rung in rungs}
    rng = np.random.default_rng(1)
    start = time.perf_counter()
    with task("Idle gaps, one after the other", rounds) as progress:
        for _ in range(rounds):
            for index in rng.permutation(len(rungs)):
                name, gap = rungs[index]
                wait = waits.get(name, time.sleep)
                calls[name]()  # whatever ran before, this one follows its own
                taken = np.empty(counts[rungs[index]])
                for number in range(len(taken)):
                    wait(gap)
                    taken[number] = calls[name]()
                times[rungs[index]].append(taken)
            progress.advance()
    return Ladder(times, time.perf_counter() - start)


def _usual(call: Call) -> float:
    """ms, once it is warm."""
    return float(np.median([call() for _ in range(WARM_UP)]))


def kept_warm(call: Call, every_s: float) -> Callable[[float], object]:
    """Spends a gap with a call now and then, the last one over before the gap ends."""

    def wait(gap: float) -> None:
        until = time.perf_counter() + gap
        usual = 0.0
        while until - time.perf_counter() > every_s + 2 * usual:
            time.sleep(every_s)
            usual = call() / 1000
        time.sleep(max(0.0, until - time.perf_counter()))

    return wait
