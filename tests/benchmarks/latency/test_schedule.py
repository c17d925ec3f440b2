"""The schedule's own arithmetic, on a clock that stands still but for sleeping."""

from __future__ import annotations

import numpy as np
import pytest

from scanside.benchmarks.latency import schedule
from scanside.benchmarks.latency.gaps import WARM, judged
from scanside.benchmarks.latency.schedule import Schedule, kept_warm, run_ladder, run_schedule


class Clock:
    """Stands in for the module `time`: sleeping is all that takes time, and `work`."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def work(self, ms: float):
        def call() -> float:
            self.now += ms / 1000
            return ms

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(schedule, "time", made)
    return made


def test_each_contender_runs_at_the_full_rate_and_never_two_at_once(clock: Clock):
    calls = {"in process": clock.work(5), "ipc": clock.work(8), "shm": clock.work(6)}
    found = run_schedule(calls, Schedule(), 60.0)
    assert found.at_once == 3
    assert found.late == 0
    assert found.seconds == pytest.approx(60, rel=0.1)
    for name, began in found.began.items():
        bursts = began.reshape(-1, 15)
        assert np.diff(bursts, axis=1) == pytest.approx(np.full((len(bursts), 14), 1 / 15))
        assert (found.times[name] == calls[name]()).all()
    began = np.sort(np.concatenate([one.ravel() for one in found.began.values()]))
    assert np.diff(began).min() >= 1 / 45 - 1e-9
    assert np.diff(began).max() >= 1.0  # the longest pause


def test_the_order_changes_from_burst_to_burst(clock: Clock):
    found = run_schedule({name: clock.work(2) for name in "abc"}, Schedule(), 120.0)
    first = {name: one.reshape(-1, 15)[:, 0] for name, one in found.began.items()}
    orders = {tuple(np.argsort(row)) for row in np.stack(list(first.values()), axis=1)}
    assert len(orders) == 6


def test_what_does_not_fit_between_two_frames_takes_turns(clock: Clock):
    calls = {"in process": clock.work(30), "ipc": clock.work(31)}
    found = run_schedule(calls, Schedule(), 60.0)
    assert found.at_once == 1
    assert found.late == 0
    assert found.seconds == pytest.approx(60, rel=0.1)
    assert Schedule().at_once(22, 3) == 2
    assert Schedule().at_once(500, 3) == 1


def test_frames_that_a_slow_one_held_up_are_counted(clock: Clock):
    found = run_schedule({"in process": clock.work(100)}, Schedule(), 30.0)
    assert found.late == pytest.approx(14 / 15)  # all of a burst but its first
    assert (found.times["in process"] == 100).all()  # each is timed from its own beginning


def test_gaps_are_idle_and_every_rung_has_its_turn(clock: Clock):
    began: list[float] = []
    work = clock.work(4)

    def call() -> float:
        began.append(clock.now)
        return work()

    found = run_ladder({"in process": call}, {}, (0.0, 0.1, 0.5), 30.0, 1.0)
    counts = {gap: found.rounds("in process", gap).shape for _, gap in found.times}
    assert counts[0.0][1] == 250
    assert counts[0.1][1] == 10
    assert counts[0.5][1] == 2
    assert len({rounds for rounds, _ in counts.values()}) == 1
    gaps = np.round(np.diff(began) - 0.004, 6)
    assert set(np.unique(gaps)) == {0.0, 0.1, 0.5}


def test_keeping_warm_calls_meanwhile_and_ends_with_the_gap(clock: Clock):
    seen: list[float] = []

    def call() -> float:
        seen.append(clock.now)
        clock.now += 0.01
        return 10.0

    kept_warm(call, 0.02)(0.5)
    assert clock.now == pytest.approx(0.5)
    assert len(seen) > 10
    seen.clear()
    kept_warm(call, 0.02)(0.0)
    assert seen == []


def test_what_is_said_of_a_run_whose_truth_is_known(clock: Clock):
    rng = np.random.default_rng(0)

    def noisy(ms: float, share: float = 0.0):
        def call() -> float:
            taken = ms * (1 + 0.02 * rng.random()) * (6 if rng.random() < share else 1)
            clock.now += taken / 1000
            return taken

        return call

    floor, ipc = noisy(5), noisy(6, share=0.02)
    paced = run_schedule({"in process": floor, "ipc": ipc}, Schedule(), 120.0)
    cold = {gap: 5 if gap else 4 for gap in (0.0, 0.5)}
    times = {("in process", gap): [np.full(20, ms) for _ in range(9)] for gap, ms in cold.items()}
    times |= {(WARM, gap): [np.full(20, 4.0) for _ in range(9)] for gap in cold}
    found = judged(paced, schedule.Ladder(times, 1.0), [])
    assert found.excess["ipc"].low > 3
    assert found.spread["in process"].value < 1.1
    assert found.costs["in process", 0.5].value == pytest.approx(1.25)
    assert found.costs[WARM, 0.5].value == pytest.approx(1.0)
    assert found.pays[0.5].low == pytest.approx(1.25)
    share, chance = found.together["ipc"]
    assert share == pytest.approx(chance, abs=0.25)


def test_what_is_slow_at_one_moment_is_told_from_chance(clock: Clock):
    def both(offset: float):
        def call() -> float:
            taken = 20.0 if int(clock.now) % 50 == 49 else 5.0 + offset
            clock.now += taken / 1000
            return taken

        return call

    paced = run_schedule({"in process": both(0), "ipc": both(1)}, Schedule(), 300.0)
    times = {(name, 0.0): [np.ones(20)] * 3 for name in ("in process", "ipc", WARM)}
    share, chance = judged(paced, schedule.Ladder(times, 1.0), []).together["ipc"]
    assert share > 3 * chance
