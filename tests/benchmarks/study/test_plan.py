"""The randomisation."""

from __future__ import annotations

import numpy as np
import pytest

from scanside.benchmarks.study.plan import plan


@pytest.mark.parametrize("cases", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("repeats", [0, 0.2, 0.5])
def test_every_case_once_some_twice_and_far_apart(cases, repeats):
    for seed in range(20):
        showings = plan(cases, repeats, seed)
        firsts = [one for one in showings if not one.repeat]
        seconds = [one for one in showings if one.repeat]
        assert sorted(one.case for one in firsts) == list(range(cases))
        assert len({one.case for one in seconds}) == len(seconds) == round(repeats * cases)
        for group in (firsts, seconds):
            assert abs(2 * sum(one.b_left for one in group) - len(group)) <= 1
        blocks = [one.block for one in showings]
        assert blocks == sorted(blocks)
        for one in seconds:
            first = next(other for other in firsts if other.case == one.case)
            assert (first.block, one.block) == (0, 2)
        assert blocks.count(1) == cases // 4


def test_sides_and_order_follow_the_seed_and_nothing_else():
    assert plan(30, 0.2, 5) == plan(30, 0.2, 5)
    assert plan(30, 0.2, 5) != plan(30, 0.2, 6)
    left = np.zeros(10)
    place = np.zeros(10)
    for seed in range(2000):
        for index, one in enumerate(plan(10, 0, seed)):
            left[one.case] += one.b_left
            place[one.case] += index
    assert left / 2000 == pytest.approx(0.5, abs=0.05)
    assert place / 2000 == pytest.approx(4.5, abs=0.3)


def test_more_than_half_cannot_come_twice():
    with pytest.raises(ValueError, match="half"):
        plan(10, 0.7, 0)
