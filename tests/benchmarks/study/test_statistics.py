"""The statistics against published examples, enumeration and theory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra [workstation]")
from scipy.stats import binomtest, rankdata

from scanside.benchmarks.study.statistics import bootstrap, krippendorff, signed_rank, wilson

NAN = np.nan

# K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, example C: four observers,
# twelve units, missing data; he gives 0.743 for nominal and 0.815 for ordinal data.
FOUR = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)
# The same, example A: two observers, binary data: 0.095.
TWO = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], float)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_intervals_of_newcombe_1998(successes, trials, low, high):
    """R. G. Newcombe, Statistics in Medicine 17:857-872, 1998, table I, method 3."""
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)
    ours = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(successes, trials) == pytest.approx((ours.low, ours.high), abs=1e-12)


def test_wilson_takes_half_successes_and_refuses_what_is_no_proportion():
    low, high = wilson(10.5, 21)
    assert low + high == pytest.approx(1)
    assert wilson(10, 21).low < low < wilson(11, 21).low
    for successes, trials in ((3, 2), (-1, 5), (0, 0)):
        with pytest.raises(ValueError, match="successes"):
            wilson(successes, trials)


def test_krippendorff_gives_the_published_alphas():
    assert krippendorff(FOUR) == pytest.approx(0.815, abs=5e-4)
    assert krippendorff(TWO) == pytest.approx(0.095, abs=5e-4)


def test_krippendorff_knows_perfection_chance_and_what_is_undefined():
    random = np.random.default_rng(1)
    ratings = random.integers(-2, 3, (3, 4000)).astype(float)
    assert krippendorff(ratings) == pytest.approx(0, abs=0.03)
    assert krippendorff(np.stack((ratings[0], ratings[0]))) == pytest.approx(1)
    assert krippendorff(np.zeros((2, 5))) is None
    assert krippendorff(np.array([[1, NAN], [NAN, 2.0]])) is None
    assert krippendorff(np.full((2, 3), NAN)) is None


@pytest.mark.parametrize(
    "differences", [[0, 0.5, -1, 2, 1, 1.5, 2, 0, 1], [0, 0, 0, -0.5, -1, 1.5, 2, 2, 1.5, 2]]
)
def test_signed_rank_agrees_with_all_ways_to_flip_the_signs(differences):
    """Pratt 1959: zeros are ranked with the rest, then dropped."""
    differences = np.array(differences)
    ranks = np.where(differences == 0, 0, rankdata(np.abs(differences)))
    center = ranks.sum() / 2
    seen = abs(ranks[differences > 0].sum() - center)
    flips = np.array(list(itertools.product((0, 1), repeat=len(ranks))))
    expected = np.mean(np.abs(flips @ ranks - center) >= seen - 1e-9)
    assert signed_rank(differences) == pytest.approx(expected, abs=1e-9)
    assert signed_rank(np.zeros(5)) == 1


def test_bootstrap_of_independent_cases_is_as_wide_as_theory_says():
    values = (np.arange(400) < 280).astype(float)[None]
    low, high = bootstrap(values, range(400))
    half = 1.96 * np.sqrt(0.7 * 0.3 / 400)
    assert (low, high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.1 * half)


def test_bootstrap_goes_by_patients_and_by_readers():
    single = (np.arange(50) < 35).astype(float)[None]
    width = np.ptp(bootstrap(single, range(50)))
    # Four equal slices of each patient are no news.
    slices = np.ptp(bootstrap(np.repeat(single, 4, axis=1), np.repeat(range(50), 4)))
    assert slices == pytest.approx(width, rel=0.08)
    # Two readers who contradict each other everywhere: other readers may say anything.
    assert bootstrap(np.array([[0.0] * 50, [1.0] * 50]), range(50)) == (0, 1)
    assert bootstrap(single, [1] * 50) is None
    missing = single.copy()
    missing[0, ::2] = NAN
    assert np.ptp(bootstrap(missing, range(50))) == pytest.approx(width * 2**0.5, rel=0.15)
