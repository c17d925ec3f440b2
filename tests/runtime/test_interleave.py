"""Interleaved timing, on a clock that the contenders turn themselves."""

from __future__ import annotations

import pytest

from scanside.runtime import interleave as module


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.paused = 0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.paused += 1
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    fake = Clock()
    monkeypatch.setattr(module, "time", fake)
    return fake


def test_figures_and_ratios_are_of_the_calls_alone(clock):
    calls = []

    def taking(name: str, seconds: float):
        def call() -> None:
            calls.append(name)
            clock.now += seconds

        return call

    result = module.interleave(
        {"slow": taking("slow", 0.06), "fast": taking("fast", 0.01)}, "slow", 9
    )
    assert result["slow"].p50 == pytest.approx(60)
    assert result["fast"].p99 == pytest.approx(10)
    assert result["fast"].ratio == pytest.approx(6)
    assert result["slow"].ratio_low == result["slow"].ratio_high == pytest.approx(1)
    assert calls.count("slow") == calls.count("fast") == 9 + 3
    assert clock.paused == len(calls)


def test_warm_up_rounds_do_not_count(clock):
    left = [1.0, 1.0, 1.0]

    def call() -> None:
        clock.now += left.pop() if left else 0.002

    assert module.interleave({"only": call}, "only", 5)["only"].p99 == pytest.approx(2)


def test_nobody_always_follows_the_same_one(clock):
    calls = []
    contenders = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    contenders = {name: _and(clock, call) for name, call in contenders.items()}
    module.interleave(contenders, "a", 60, warm_up=0)
    before_a = {calls[i - 1] for i, name in enumerate(calls) if name == "a" and i}
    assert before_a >= {"b", "c"}


def _and(clock: Clock, call):
    def both() -> None:
        call()
        clock.now += 0.001

    return both
