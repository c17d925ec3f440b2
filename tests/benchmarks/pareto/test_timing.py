"""Contenders in turn: how often each is called, in which order, and answers that change."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [workstation]")

from scanside.benchmarks.pareto.timing import WARM_UP, time_in_turn
from scanside.runtime.errors import BenchmarkError

ANSWER = np.arange(6, dtype=np.int16).reshape(2, 3)


def test_each_is_called_once_a_round_in_changing_order():
    called: list[str] = []

    def contender(name: str):
        def call():
            called.append(name)
            return ANSWER

        return call

    names = ["a", "b", "c"]
    times = time_in_turn({name: contender(name) for name in names}, 9)
    assert {name: found.shape for name, found in times.items()} == dict.fromkeys(names, (9, 1))
    assert called[:3] == names  # what each answers, before anything is timed
    rounds = np.array(called[3:]).reshape(WARM_UP + 9, 3)
    assert all(sorted(one) == names for one in rounds.tolist())
    assert len({tuple(one) for one in rounds.tolist()}) > 3
    assert all((found > 0).all() for found in times.values())


def test_an_answer_that_changes_lets_no_time_count():
    answers = iter([ANSWER] * 5 + [ANSWER + 1] * 50)
    with pytest.raises(BenchmarkError, match="b gave two answers"):
        time_in_turn({"a": lambda: ANSWER, "b": lambda: next(answers)}, 9)


def test_an_answer_in_a_buffer_of_the_engines_own_is_kept():
    buffer = ANSWER.copy()

    def shifting():
        buffer[:] += 1
        return buffer

    with pytest.raises(BenchmarkError):
        time_in_turn({"a": shifting}, 5)
