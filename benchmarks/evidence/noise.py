"""The middle of a run's rounds, and how far it may be off by the noise within the run.

Rounds that follow each other on a shared machine are alike: a neighbour's load comes and goes in
minutes. Taken for independent, as an ordinary bootstrap takes them, they promise far more than they
know, and every second comparison alarms. So the error of the middle is taken from the rounds' slow
part, in two ways of which the larger counts:

- the long-run variance from the first few cosine components of the series, with Student's t of as
  many degrees of freedom: U. K. Müller, J. Bus. Econ. Stat. 32:311-322, 2014; the number of
  components after E. Lazarus, D. J. Lewis, J. H. Stock, M. W. Watson, "HAR inference:
  recommendations for practice", J. Bus. Econ. Stat. 36:541-559, 2018;
- the variance of a series in which each round keeps a share of the one before it, its lag-1
  correlation corrected for its bias in short series (M. G. Kendall, Biometrika 41:403-404, 1954),
  which is what a mean of n / ((1 + r) / (1 - r)) independent rounds would have (F. W. Zwiers,
  H. von Storch, J. Climate 8:336-351, 1995).

The middle itself is Huber's (P. J. Huber, Ann. Math. Stat. 35:73-101, 1964): close to the median
where a burst hit some rounds, to the mean where nothing did.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]

FEWEST = 5
"""Rounds: of fewer no noise can be told."""
HUBER = 1.5
"""Standard deviations from the middle beyond which a round pulls no harder."""
STEPS = 50
MAD_TO_DEVIATION = 1.4826
DOUBT = 4.0
"""Over the number of rounds, the least correlation that is assumed: few rounds cannot show that
they are independent."""
STRONGEST = 0.95
"""Lag-1 correlation: rounds more alike than that tell of one moment, whatever their number."""


class Middle(NamedTuple):
    """Of a series. error: its standard error; freedom: how many independent pieces of evidence that
    error rests on, as Student's t counts them. scatter: standard deviation of a round, odd ones
    left aside."""

    value: float
    error: float
    freedom: float
    scatter: float = 0.0


def middle_of(rounds: Series) -> Middle:
    """rounds: (n,) in order of time, n >= `FEWEST`, finite; e.g. logarithms of ratios."""
    if rounds.ndim != 1 or len(rounds) < FEWEST:
        raise ValueError(f"{rounds.shape} rounds: at least {FEWEST} are needed, in one row")
    middle, scatter, pulls = _huber(rounds)
    slow, components = _by_cosines(pulls)
    kept, worth = _by_correlation(pulls)
    freedom = min(len(rounds) - 1.0, max(components, worth))
    return Middle(middle, math.sqrt(max(slow, kept)), freedom, scatter)


def _huber(rounds: Series) -> tuple[float, float, Series]:
    """The middle, the rounds' scatter, and how each round pulls at the middle: a series of mean 0
    whose mean's variance is the middle's."""
    middle = float(np.median(rounds))
    scale = MAD_TO_DEVIATION * float(np.median(np.abs(rounds - middle)))
    if scale == 0:  # half of the rounds or more are equal
        scale = float(np.std(rounds))
    if scale == 0:
        return middle, 0.0, np.zeros_like(rounds)
    limit = HUBER * scale
    for _ in range(STEPS):
        step = float(np.mean(np.clip(rounds - middle, -limit, limit)))
        middle += step
        if abs(step) < 1e-9 * scale:
            break
    inside = float(np.mean(np.abs(rounds - middle) <= limit))
    pulls = np.clip(rounds - middle, -limit, limit) / max(inside, 0.2)
    return middle, scale, pulls - pulls.mean()


def _by_cosines(pulls: Series) -> tuple[float, float]:
    """Variance of the mean, and its degrees of freedom."""
    count = len(pulls)
    components = max(2, round(0.4 * count ** (2 / 3)))
    phase = (np.arange(count) + 0.5) / count
    waves = np.cos(np.pi * np.outer(np.arange(1, components + 1), phase)) * math.sqrt(2 / count)
    return float(np.mean((waves @ pulls) ** 2)) / count, float(components)


def _by_correlation(pulls: Series) -> tuple[float, float]:
    """Variance of the mean, and its degrees of freedom."""
    count = len(pulls)
    energy = float(pulls @ pulls)
    if energy == 0:
        return 0.0, count - 1.0
    found = float(pulls[1:] @ pulls[:-1]) / energy
    kept = min(max(found + (1 + 3 * found) / count, DOUBT / count), STRONGEST)
    worth = count * (1 - kept) / (1 + kept)
    return energy / (count - 1) / worth, max(worth - 1, 1.0)
