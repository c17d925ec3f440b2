"""Twenty comparisons of runs that are alike alarm never, however nasty the noise; a planted
regression of 15% is found in nineteen of twenty at least. Thirty figures at once."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scanside.benchmarks.evidence.compare import compare
from scanside.benchmarks.evidence.timeline import Wanted, review

FIGURES, ROUNDS, REPEATS = 30, 40, 20


def _strong_drift(rng, drifting):
    return drifting(rng, ROUNDS, 0.9, 0.04)


def _heavy_tails(rng, drifting):
    return 0.03 * rng.standard_t(2, ROUNDS)


def _bursts(rng, drifting):
    """Another job takes a tenth to a third of the run, and half of the machine."""
    found = rng.normal(0, 0.02, ROUNDS)
    length = rng.integers(ROUNDS // 10, ROUNDS // 3 + 1)
    start = rng.integers(0, ROUNDS - length)
    found[start : start + length] += 0.5
    return found


def _trend(rng, drifting):
    return rng.normal(0, 0.02, ROUNDS) + rng.normal(0, 0.05) * np.linspace(-1, 1, ROUNDS)


def _all_at_once(rng, drifting):
    spikes = 0.3 * (rng.random(ROUNDS) < 0.05)
    return drifting(rng, ROUNDS, 0.8, 0.03) + 0.01 * rng.standard_t(2, ROUNDS) + spikes


def _together(rng, drifting):
    """Filled in by `_figures`: every figure of a run drifts with every other."""
    return drifting(rng, ROUNDS, 0.3, 0.01)


NASTY = [_strong_drift, _heavy_tails, _bursts, _trend, _all_at_once, _together]


def _figures(ratio, noise, rng, drifting, planted=0.0):
    shared = drifting(rng, ROUNDS, 0.9, 0.03) if noise is _together else 0.0
    logs = [noise(rng, drifting) + shared for _ in range(FIGURES)]
    logs[7] = logs[7] + math.log1p(planted)
    return [ratio(one, f"engine {number}") for number, one in enumerate(logs)]


@pytest.mark.parametrize("noise", NASTY)
def test_no_false_alarm_in_twenty_repeats(ratio, run, drifting, noise):
    rng = np.random.default_rng(2026)
    alarms = []
    for _ in range(REPEATS):
        before, after = (run(_figures(ratio, noise, rng, drifting)) for _ in range(2))
        alarms += compare([before], [after]).regressions
    assert alarms == []


def _usual(rng, drifting):
    """As a shared machine is: some drift, some spikes."""
    return drifting(rng, ROUNDS, 0.5, 0.02) + 0.3 * (rng.random(ROUNDS) < 0.05)


@pytest.mark.parametrize("noise", [_usual, _heavy_tails])
def test_a_planted_regression_is_found_in_nineteen_of_twenty(ratio, run, drifting, noise):
    rng = np.random.default_rng(2026)
    found, others = 0, 0
    for _ in range(REPEATS):
        before = run(_figures(ratio, noise, rng, drifting))
        after = run(_figures(ratio, noise, rng, drifting, planted=0.15))
        names = [one.after.of["engine"] for one in compare([before], [after]).regressions]
        found += "engine 7" in names
        others += names != ["engine 7"] and bool(names)
    assert found >= 19
    assert others == 0


def test_a_history_of_twenty_like_runs_never_alarms(ratio, run, drifting):
    rng = np.random.default_rng(2026)
    runs = [
        # Runs lie apart by what no run can see from within.
        run(
            [
                ratio(_usual(rng, drifting) + rng.normal(0, 0.01), f"engine {number}")
                for number in range(10)
            ]
        )
        for _ in range(REPEATS + 1)
    ]
    for end in range(2, len(runs) + 1):
        assert review(runs[:end], Wanted()).regressions == []


def test_a_history_on_a_machine_whose_runs_lie_far_apart_learns_so(ratio, run, drifting):
    rng = np.random.default_rng(2026)

    def one(shift=0.0):
        apart = rng.normal(0, 0.06)
        return run([ratio(_usual(rng, drifting) + apart + shift)])

    runs = [one() for _ in range(REPEATS + 12)]
    alarms = [end for end in range(12, len(runs) + 1) if review(runs[:end], Wanted()).regressions]
    assert alarms == []
    assert review([*runs, one(0.6)], Wanted()).regressions
