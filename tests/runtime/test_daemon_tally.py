from __future__ import annotations

import pytest

from scanside.runtime.daemon import tally as module
from scanside.runtime.daemon.tally import BUCKETS_S, MODELS, RECENT, Tally
from scanside.runtime.wire import NO_TIMINGS, ModelCard, Outcome, Pace, Reason, Timings


def card(version: str = "1") -> ModelCard:
    return ModelCard(
        name="m",
        version=version,
        identity="f" * 64,
        modality=("CT",),
        scale=1,
        signed=True,
        engine="numpy 1",
    )


def enhanced(tally: Tally, ms: float) -> None:
    tally.count(Outcome.ENHANCED, None, card(), Timings(queue=ms / 4, inference=ms * 3 / 4))


def test_percentiles_are_of_the_last_enhanced_frames() -> None:
    tally = Tally()
    assert tally.pace() == Pace()
    for ms in range(1, 101):
        enhanced(tally, ms)
        tally.count(Outcome.BYPASSED, Reason.LATE, card(), Timings(queue=1e6))
    pace = tally.pace()
    assert (pace.p50_ms, pace.p99_ms, pace.frames) == (50, 99, 100)
    for _ in range(RECENT):
        enhanced(tally, 7)
    assert tally.pace().p99_ms == 7


def test_frames_per_second_are_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    tally = Tally()
    for _ in range(50):
        enhanced(tally, 1)
        now += 0.1
    assert tally.pace().frames_per_second == pytest.approx(5.0)
    now += 20
    assert tally.pace().frames_per_second == 0
    for _ in range(2 * RECENT):  # faster than what is remembered of the last 10 s
        enhanced(tally, 1)
        now += 0.001
    assert tally.pace().frames_per_second == pytest.approx(1000, rel=0.01)


def test_times_and_buckets_are_of_enhanced_frames_alone() -> None:
    tally = Tally()
    enhanced(tally, 4)
    enhanced(tally, 1e5)
    tally.count(Outcome.BYPASSED, Reason.GUARD, card(), Timings(inference=50))
    tally.count(Outcome.REFUSED, Reason.MALFORMED, None, NO_TIMINGS)
    ((key, model),) = tally.models.items()
    assert key == ("m", "1")
    assert (model.enhanced, model.total, model.queue) == (2, 100_004, 25_001)
    assert model.buckets[BUCKETS_S.index(0.005)] == model.buckets[-1] == 1
    assert sum(model.buckets) == 2
    assert {reason: n for reason, n in model.failed.items() if n} == {"guard": 1}
    assert tally.counters.refused == {"malformed": 1}


def test_swaps_without_end_take_no_memory_without_end() -> None:
    tally = Tally()
    for number in range(3 * MODELS):
        tally.count(Outcome.ENHANCED, None, card(str(number)), NO_TIMINGS)
    assert len(tally.models) == MODELS
    assert ("m", str(3 * MODELS - 1)) in tally.models
