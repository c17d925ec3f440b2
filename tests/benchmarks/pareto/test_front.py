"""Which points nothing else beats."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the extra [workstation]")

from scanside.benchmarks.pareto.front import pareto_front


def test_a_front_by_hand():
    costs = [1.0, 2.0, 2.0, 3.0, 4.0, 5.0]
    gains = [10.0, 9.0, 12.0, 12.0, 13.0, 12.5]
    # The second is beaten by the first; the fourth is slower than the third for nothing.
    assert pareto_front(costs, gains) == [True, False, True, False, True, False]


def test_equals_stay_together_and_nan_is_never_on_it():
    assert pareto_front([1, 1, 1], [5, 5, math.nan]) == [True, True, False]
    assert pareto_front([math.nan], [5]) == [False]
    assert pareto_front([], []) == []


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_it_is_the_best_gain_of_every_budget(points):
    costs, gains = ([float(one[axis]) for one in points] for axis in (0, 1))
    front = pareto_front(costs, gains)
    for budget in set(costs):
        within = [gain for cost, gain in zip(costs, gains, strict=True) if cost <= budget]
        on_it = [
            gain
            for cost, gain, front_ in zip(costs, gains, front, strict=True)
            if front_ and cost <= budget
        ]
        assert max(on_it) == max(within)
    for here, (cost, gain) in zip(front, points, strict=True):
        beaten = any(
            other <= cost and more >= gain and (other, more) != (cost, gain)
            for other, more in points
        )
        assert here is not beaten
