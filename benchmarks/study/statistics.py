"""What a reader study needs of statistics, each with its source."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import wilcoxon

Float = npt.NDArray[np.float64]

Z95 = NormalDist().inv_cdf(0.975)
DRAWS = 2000


class Interval(NamedTuple):
    low: float
    high: float


def wilson(successes: float, trials: int) -> Interval:
    """95% score interval of a proportion; a tie may count as half a success.

    E. B. Wilson, J. Am. Stat. Assoc. 22:209-212, 1927. Trials are taken for independent.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError("successes lie between 0 and the number of trials, which is 1 or more")
    share, square = successes / trials, Z95**2 / trials
    middle = (share + square / 2) / (1 + square)
    half = Z95 * math.sqrt(share * (1 - share) / trials + square / trials / 4) / (1 + square)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def bootstrap(
    values: Float, units: Sequence[int], seed: int = 0, draws: int = DRAWS
) -> Interval | None:
    """95% percentile interval of the mean of (readers, cases) values; NaN is a missing answer.

    Readers and units (the patients that cases belong to) are both drawn with replacement, so that
    the interval speaks of other readers and other patients (two-way bootstrap: A. B. Owen, Ann.
    Appl. Stat. 1:386-411, 2007, errs on the wide side). None where there is one unit only.
    """
    distinct, number = np.unique(units, return_inverse=True)
    if len(distinct) < 2:
        return None
    random = np.random.default_rng(seed)
    readers = values.shape[0]
    # Sums and counts by reader and unit: a draw is then two small products.
    member = np.eye(len(distinct))[number]
    given = ~np.isnan(values)
    sums, counts = np.where(given, values, 0.0) @ member, given @ member
    weight_r = random.multinomial(readers, np.full(readers, 1 / readers), draws)
    weight_u = random.multinomial(len(distinct), np.full(len(distinct), 1 / len(distinct)), draws)
    total = np.einsum("dr,ru,du->d", weight_r, sums, weight_u, optimize=True)
    count = np.einsum("dr,ru,du->d", weight_r, counts, weight_u, optimize=True)
    means = total[count > 0] / count[count > 0]
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(low), float(high))


def signed_rank(differences: Float) -> float:
    """Two-sided p of Wilcoxon's signed-rank test that `differences` are symmetric about 0.

    Zeros are ranked and then dropped (J. W. Pratt, J. Am. Stat. Assoc. 54:655-667, 1959); scipy
    chooses the exact distribution where it can. 1 where all differences are 0.
    """
    if not np.any(differences):
        return 1.0
    return float(wilcoxon(differences, zero_method="pratt").pvalue)


def krippendorff(ratings: Float) -> float | None:
    """Krippendorff's alpha for ordinal (coders, units) ratings; NaN is a missing one.

    K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011: 1 is perfect, 0 what
    chance gives, below 0 worse than that. None where no unit has two ratings or where all ratings
    are one value: agreement is then not defined.
    """
    levels = np.unique(ratings[~np.isnan(ratings)])
    # (units, levels): how many coders gave unit u the level c; units with one rating pair nothing.
    votes = np.sum(ratings[:, :, None] == levels, axis=0)
    votes = votes[votes.sum(axis=1) > 1].astype(np.float64)
    if not len(votes):
        return None
    coders = votes.sum(axis=1)
    pairs = votes[:, :, None] * votes[:, None, :] - votes[:, :, None] * np.eye(len(levels))
    coincidences = (pairs / (coders - 1)[:, None, None]).sum(axis=0)
    totals = coincidences.sum(axis=0)
    # Ordinal difference: ratings that lie between two, themselves counted by half.
    place = np.cumsum(totals) - totals / 2
    distance = (place[:, None] - place[None, :]) ** 2
    expected = (np.outer(totals, totals) * distance).sum() / (totals.sum() - 1)
    if expected == 0:
        return None
    return float(1 - (coincidences * distance).sum() / expected)
