"""What a round trip adds to a call in process, from times that were taken side by side."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]
"""(rounds, calls) in ms: the calls of a round were made one after the other."""
DRAWS = 2000
BLOCKS = 40
"""Of a figure's rounds in a record."""


class Estimate(NamedTuple):
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f}..{self.high:.2f})"


class Overhead(msgspec.Struct, frozen=True, kw_only=True):
    """Of one contender. p50, p99, floor_p50: ms. ratio: p50 over the floor's. added: ms, median of
    the differences between the calls that were made in the same place of the same round.
    ratio_rounds: the ratio in each block of rounds, in order of time, for a record."""

    p50: float
    p99: float
    floor_p50: float
    ratio: Estimate
    added: Estimate
    ratio_rounds: list[float] = []


def overhead(times: Times, floor: Times, seed: int = 0) -> Overhead:
    """times, floor: of the same rounds. The intervals are percentile bootstraps over whole rounds,
    since the calls of one round saw the same moment of the machine (B. Efron, R. Tibshirani: An
    Introduction to the Bootstrap, 1993, chapters 8 and 13)."""
    if times.shape != floor.shape or times.size == 0:
        raise ValueError(f"times of {times.shape} do not pair with a floor of {floor.shape}")
    differences = times - floor
    drawn = np.random.default_rng(seed).integers(0, len(times), (DRAWS, len(times)))
    ratios = np.empty(DRAWS)
    added = np.empty(DRAWS)
    for number, rows in enumerate(drawn):
        ratios[number] = np.median(times[rows]) / np.median(floor[rows])
        added[number] = np.median(differences[rows])
    p50, p99 = np.percentile(times, [50, 99])
    floor_p50 = float(np.median(floor))
    return Overhead(
        p50=float(p50),
        p99=float(p99),
        floor_p50=floor_p50,
        ratio=_estimate(float(p50) / floor_p50, ratios),
        added=_estimate(float(np.median(differences)), added),
        ratio_rounds=(blocks_of(times) / blocks_of(floor)).ravel().tolist(),
    )


def blocks_of(times: Times, most: int = BLOCKS) -> Times:
    """Median of each block of rounds that followed each other, (blocks, 1): what a record keeps of
    a long run. At most so many blocks, alike in length to one round."""
    parts = np.array_split(times, min(most, len(times)))
    return np.array([[np.median(one)] for one in parts])


def ratio_of(mine: Times, others: Times, seed: int = 0) -> Estimate:
    """Median over rounds of the ratio within each, (rounds, 1) both, with its interval."""
    if mine.shape != others.shape or mine.size == 0:
        raise ValueError(f"figures of {mine.shape} do not pair with {others.shape}")
    ratios = (mine / others).ravel()
    drawn = np.random.default_rng(seed).integers(0, len(ratios), (DRAWS, len(ratios)))
    return _estimate(float(np.median(ratios)), np.median(ratios[drawn], axis=1))


def _estimate(value: float, draws: Times) -> Estimate:
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(value, float(low), float(high))
