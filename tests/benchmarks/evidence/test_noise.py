"""How far off a run's middle may be, on series whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra [workstation]")
from scipy import stats

from scanside.benchmarks.evidence.noise import FEWEST, middle_of


def coverage(series, repeats=300):
    """How often the 95% interval holds the truth, which is 0; and an ordinary t interval's."""
    held = ordinary = 0
    for seed in range(repeats):
        rounds = series(np.random.default_rng(seed))
        found = middle_of(rounds)
        held += abs(found.value) <= stats.t.ppf(0.975, found.freedom) * found.error
        usual = stats.sem(rounds) * stats.t.ppf(0.975, len(rounds) - 1)
        ordinary += abs(rounds.mean()) <= usual
    return held / repeats, ordinary / repeats


def test_intervals_hold_the_truth_where_rounds_are_independent():
    held, _ = coverage(lambda rng: rng.normal(0, 1, 40))
    assert 0.93 <= held <= 0.995


@pytest.mark.parametrize(("kept", "least", "usual"), [(0.6, 0.90, 0.72), (0.8, 0.85, 0.55)])
def test_intervals_hold_the_truth_where_rounds_drift_and_ordinary_ones_do_not(
    drifting, kept, least, usual
):
    held, ordinary = coverage(lambda rng: drifting(rng, 40, kept, 1.0))
    assert held >= least
    assert ordinary <= usual


def test_heavy_tails_cost_little():
    rng = np.random.default_rng(0)
    errors = [middle_of(0.01 * rng.standard_t(2, 40)).error for _ in range(100)]
    assert np.median(errors) < 2 * 0.01 * np.sqrt(np.pi / 2 / 40)


def test_a_burst_moves_the_middle_less_than_its_error():
    rng = np.random.default_rng(1)
    rounds = rng.normal(0, 0.02, 40)
    rounds[10:16] += 1.0  # some other job, for a while
    found = middle_of(rounds)
    assert abs(found.value) < 2 * found.error
    assert abs(found.value) < 0.03
    assert abs(rounds.mean()) > 0.1


def test_a_slow_trend_is_noise_too():
    rng = np.random.default_rng(2)
    level = rng.normal(0, 0.01, 40)
    rising = level + np.linspace(-0.1, 0.1, 40)
    assert middle_of(rising).error > 8 * middle_of(level).error


def test_a_slow_swell_under_fast_noise_counts():
    """One round tells next to nothing of the next: only the slow part of the series does."""
    rng = np.random.default_rng(4)
    swell = 0.03 * np.sign(np.arange(60) - 29.5)
    runs = [rng.normal(0, 0.03, 60) + swell for _ in range(100)]
    errors = [middle_of(rounds).error / stats.sem(rounds) for rounds in runs]
    assert np.mean(errors) > 2.1


def test_the_order_of_rounds_matters(drifting):
    rounds = drifting(np.random.default_rng(3), 60, 0.8, 1.0)
    shuffled = np.random.default_rng(0).permutation(rounds)
    assert middle_of(rounds).error > 1.5 * middle_of(shuffled).error


def test_few_rounds_are_not_believed_to_be_independent():
    rng = np.random.default_rng(6)
    few, many = (
        np.mean([middle_of(one).error / stats.sem(one) for one in rng.normal(0, 1, (300, count))])
        for count in (5, 60)
    )
    assert few > 2
    assert 1 < many < 1.3


def test_rounds_that_are_alike_are_worth_few(drifting):
    rng = np.random.default_rng(5)
    alike = [middle_of(drifting(rng, 40, 0.8, 1.0)).freedom for _ in range(50)]
    apart = [middle_of(rng.normal(0, 1, 40)).freedom for _ in range(50)]
    assert np.median(alike) < 10
    assert 20 < np.median(apart) < 40


def test_rounds_that_are_equal_have_no_error():
    assert middle_of(np.full(10, 3.0))[:2] == (3.0, 0.0)


def test_one_odd_round_among_equal_ones_counts():
    found = middle_of(np.array([1.0] * 9 + [2.0]))
    assert 1.0 <= found.value < 1.1
    assert found.error > 0


def test_fewer_than_five_rounds_tell_no_noise():
    with pytest.raises(ValueError, match=str(FEWEST)):
        middle_of(np.arange(4.0))
