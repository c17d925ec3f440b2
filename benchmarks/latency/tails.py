"""Percentiles, maxima and jitter of times that were taken in rounds, with honest intervals."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from scanside.benchmarks.evidence.paired import BLOCKS, DRAWS, Estimate, Times

ENOUGH = {50.0: 5, 90.0: 10, 99.0: 100, 99.9: 1000}
"""Times without which a percentile would be the maximum under another name."""


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """ms. p90, p99, p999: None of fewer times than `ENOUGH`. largest: the maximum, which only grows
    with `count`, so it has no interval. jitter: mean of |difference| between a time and the next
    in the same round, None of rounds of one: what the estimator of RFC 3550, section 6.4.1, comes
    to without its filter, for frames that are sent one after the other."""

    count: int
    p50: Estimate
    p90: Estimate | None
    p99: Estimate | None
    p999: Estimate | None
    largest: float
    jitter: Estimate | None


def tail_of(times: Times, seed: int = 0) -> Tail:
    """times: (rounds, calls), the calls of a round in order. Intervals as `interval`."""
    return Tail(
        count=times.size,
        p50=interval(np.median, times, seed=seed),
        p90=percentile(times, 90.0, seed),
        p99=percentile(times, 99.0, seed),
        p999=percentile(times, 99.9, seed),
        largest=float(times.max()),
        jitter=interval(jitter, times, seed=seed) if times.shape[1] > 1 else None,
    )


def percentile(times: Times, which: float, seed: int = 0) -> Estimate | None:
    """None of too few times."""
    if times.size < ENOUGH[which]:
        return None
    return interval(lambda drawn: float(np.percentile(drawn, which)), times, seed=seed)


def jitter(times: Times) -> float:
    """See `Tail`; of rounds of two calls or more."""
    return float(np.abs(np.diff(times, axis=1)).mean())


def interval(figure: Callable[..., float], *times: Times, seed: int = 0) -> Estimate:
    """`figure` of arrays whose first axis is the same rounds, with its 95% interval: a percentile
    bootstrap over whole rounds, drawn for all of them at once, since what was timed in one round
    saw the same moment of the machine."""
    rounds = len(times[0])
    if rounds == 0 or any(len(one) != rounds or one.size == 0 for one in times):
        raise ValueError(f"rounds of {[one.shape for one in times]} do not pair")
    drawn = np.random.default_rng(seed).integers(0, rounds, (DRAWS, rounds))
    found = [figure(*(one[rows] for one in times)) for rows in drawn]
    low, high = np.percentile(found, [2.5, 97.5])
    return Estimate(float(figure(*times)), float(low), float(high))


def times_slower(mine: Times, other: Times) -> float:
    """Of the medians."""
    return float(np.median(mine) / np.median(other))


def excess(mine: Times, other: Times) -> float:
    """How many times another's p99.9/p50 ours is."""
    return spread(mine) / spread(other)


def spread(times: Times) -> float:
    """p99.9 over p50."""
    middle, far = np.percentile(times, [50, 99.9])
    return float(far / middle)


def in_blocks(figure: Callable[..., float], *times: Times, most: int = BLOCKS) -> list[float]:
    """`figure` of each of at most so many blocks of rounds, in order of time: for a record."""
    parts = [np.array_split(one, min(most, len(one))) for one in times]
    return [figure(*block) for block in zip(*parts, strict=True)]
