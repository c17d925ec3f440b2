"""How many times another's overhead ours is, from times that were taken in turn."""

from __future__ import annotations

import numpy as np

from scanside.benchmarks.evidence.paired import DRAWS, Estimate, Times, blocks_of


def ratio_of_overheads(
    mine: Times, floor: Times, theirs: Times, their_floor: Times, seed: int = 0
) -> Estimate:
    """Median of mine - floor over median of theirs - their_floor, all (rounds, calls) in ms of the
    same rounds; the floors are calls in process, each in its server's environment.

    The interval is a percentile bootstrap over whole rounds, drawn for all four at once. Where the
    others' overhead is not told from nothing in every draw a ratio means nothing: then its upper
    end is infinite.
    """
    shapes = {one.shape for one in (mine, floor, theirs, their_floor)}
    if len(shapes) > 1 or mine.size == 0:
        raise ValueError(f"times of {sorted(shapes)} do not pair")
    ours, others = mine - floor, theirs - their_floor
    drawn = np.random.default_rng(seed).integers(0, len(ours), (DRAWS, len(ours)))
    above, below = (np.median(one[drawn], axis=(1, 2)) for one in (ours, others))
    ratios = np.where(below > 0, above / np.where(below > 0, below, 1), np.inf)
    # A percentile between a number and infinity is no number: the draw itself is taken.
    low, high = np.percentile(ratios, [2.5, 97.5], method="higher")
    middle = float(np.median(others))
    value = float(np.median(ours)) / middle if middle > 0 else float("inf")
    return Estimate(value, float(low), float(high))


def median_of(values: Times, seed: int = 0) -> Estimate:
    """Median of (rounds, calls) with its interval over whole rounds."""
    if values.size == 0:
        raise ValueError("there is no median of nothing")
    drawn = np.random.default_rng(seed).integers(0, len(values), (DRAWS, len(values)))
    low, high = np.percentile(np.median(values[drawn], axis=(1, 2)), [2.5, 97.5])
    return Estimate(float(np.median(values)), float(low), float(high))


def blocked(values: Times) -> list[float]:
    """The median in each block of rounds, for a record."""
    return [float(one) for one in blocks_of(values).ravel()]
