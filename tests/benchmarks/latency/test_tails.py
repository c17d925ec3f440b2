"""The statistics, on numbers whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from scanside.benchmarks.latency.tails import (
    excess,
    in_blocks,
    interval,
    jitter,
    percentile,
    spread,
    tail_of,
    times_slower,
)


def test_percentiles_are_those_of_all_frames():
    times = np.arange(1.0, 2001.0).reshape(400, 5)
    found = tail_of(times)
    assert found.count == 2000
    assert found.p50.value == pytest.approx(1000.5)
    assert found.p90.value == pytest.approx(1800.1)
    assert found.p99.value == pytest.approx(1980.01)
    assert found.p999.value == pytest.approx(1998.001)
    assert found.largest == 2000
    assert found.p99.low < found.p99.value < found.p99.high


@pytest.mark.parametrize(("which", "enough"), [(99.0, 100), (99.9, 1000)])
def test_a_percentile_of_too_few_frames_is_none(which, enough):
    times = np.ones((enough, 1))
    assert percentile(times, which) is not None
    assert percentile(times[1:], which) is None


def test_jitter_is_the_mean_difference_of_neighbours_within_a_round():
    assert jitter(np.array([[1.0, 3.0, 2.0], [100.0, 100.0, 101.0]])) == pytest.approx(1.0)
    assert tail_of(np.ones((20, 1))).jitter is None  # the next round is another moment


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        moment = rng.gamma(2, 1, (50, 1))  # one round's calls share their moment
        found = interval(np.median, moment + rng.normal(0, 0.1, (50, 5)), seed=seed)
        held += found.low <= 1.678 <= found.high  # median of gamma(2)
    assert 34 <= held <= 40


def test_what_slows_both_alike_is_in_no_ratio():
    rng = np.random.default_rng(0)
    moment = rng.gamma(2, 1, (200, 1))
    floor = 10 * moment
    found = interval(times_slower, 1.5 * floor, floor)
    assert (found.low, found.value, found.high) == pytest.approx((1.5, 1.5, 1.5))


def test_a_longer_tail_shows_as_excess_and_a_shift_does_not():
    rng = np.random.default_rng(1)
    floor = rng.normal(10, 0.1, (100, 60))
    assert excess(3 * floor, floor) == pytest.approx(1)
    slow = floor.copy()
    slow[::5, 0] *= 5  # 20 of 6,000 frames
    assert spread(slow) == pytest.approx(5, rel=0.1)
    found = interval(excess, slow, floor)
    assert found.low > 1.2


def test_noise_alone_is_no_excess():
    over = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        mine, floor = rng.lognormal(0, 0.5, (2, 60, 50))
        found = interval(excess, mine, floor, seed=seed)
        over += found.low > 1.0 or found.high < 1.0
    assert over <= 2


def test_blocks_follow_each_other():
    mine = np.repeat(np.arange(1.0, 101.0), 5).reshape(100, 5)
    found = in_blocks(times_slower, mine, np.ones((100, 5)), most=10)
    assert found == sorted(found)
    assert len(found) == 10
    assert found[0] == pytest.approx(5.5)
    assert len(in_blocks(times_slower, mine[:3], mine[:3], most=10)) == 3


@pytest.mark.parametrize(("mine", "other"), [((2, 5), (3, 5)), ((0, 5), (0, 5))])
def test_what_does_not_pair_is_no_figure(mine, other):
    with pytest.raises(ValueError, match="pair"):
        interval(times_slower, np.ones(mine), np.ones(other))
