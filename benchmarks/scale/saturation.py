"""From what number of clients on more of them bring no more frames."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from scanside.benchmarks.evidence.paired import DRAWS, Estimate, Times, ratio_of

WITHIN = 0.05
"""A rate so close to the best is as good."""
P99_DRAWS = 400


class Saturation(msgspec.Struct, frozen=True, kw_only=True):
    """clients: the smallest number whose rate is within `WITHIN` of the best one's. earliest,
    latest: the smallest that may be, and the smallest that surely is: by the 95% intervals of the
    ratios to the best. best: the number with the highest median rate. open: the best is the largest
    number that was measured, and no smaller one is surely as good: more clients may bring more."""

    clients: int
    earliest: int
    latest: int
    best: int
    open: bool

    def __str__(self) -> str:
        words = f"{self.clients} client{'s' * (self.clients > 1)}"
        if self.earliest != self.latest:
            words += f" ({self.earliest}..{self.latest})"
        return f"{words}, or beyond" if self.open else words


def find_saturation(rates: Mapping[int, Times], within: float = WITHIN) -> Saturation:
    """rates: frames a second, (rounds, 1) each, of the same rounds, by the number of clients."""
    if not rates:
        raise ValueError("nothing saturates without a rate")
    counts = sorted(rates)
    best = max(counts, key=lambda count: float(np.median(rates[count])))
    ratios = {count: ratio_of(rates[count], rates[best]) for count in counts}
    bar = 1 - within

    def first(end: str) -> int:
        return next(one for one in counts if getattr(ratios[one], end) >= bar)

    latest = first("low")
    return Saturation(
        clients=first("value"),
        earliest=first("high"),
        latest=latest,
        best=best,
        open=len(counts) > 1 and latest == best == counts[-1],
    )


def middle_of(rates: Times, seed: int = 0) -> Estimate:
    """Median over rounds, (rounds, 1), with its interval."""
    drawn = np.random.default_rng(seed).integers(0, len(rates), (DRAWS, len(rates)))
    low, high = np.percentile(np.median(rates.ravel()[drawn], axis=1), [2.5, 97.5])
    return Estimate(float(np.median(rates)), float(low), float(high))


def p99_of(blocks: list[list[float]], seed: int = 0) -> Estimate:
    """99th percentile of all round trips, with its interval over whole blocks."""
    arrays = [np.array(one) for one in blocks]
    drawn = np.random.default_rng(seed).integers(0, len(arrays), (P99_DRAWS, len(arrays)))
    draws = [np.percentile(np.concatenate([arrays[one] for one in row]), 99) for row in drawn]
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(float(np.percentile(np.concatenate(arrays), 99)), float(low), float(high))
