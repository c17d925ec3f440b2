"""All contenders of a sweep in turn, round by round, each answer held against its first."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from scanside.benchmarks.evidence.paired import Times
from scanside.runtime.errors import BenchmarkError
from scanside.runtime.frame import Pixels
from scanside.runtime.interleave import PAUSE_S
from scanside.runtime.progress import task

WARM_UP = 3
"""Rounds that do not count."""


def time_in_turn(calls: Mapping[str, Callable[[], Pixels]], rounds: int) -> dict[str, Times]:
    """(rounds, 1) ms of each, called once a round in a new random order; see
    `scanside.runtime.interleave`, which says why there is a pause.

    Raises BenchmarkError for an answer that is not the first one's bits: then no time counts.
    """
    names = list(calls)
    expected = {name: np.array(call()) for name, call in calls.items()}
    times = np.empty((len(names), WARM_UP + rounds, 1))
    rng = np.random.default_rng(0)
    with task("Timing all in turn", WARM_UP + rounds) as progress:
        for round_ in range(WARM_UP + rounds):
            for index in rng.permutation(len(names)):
                name = names[index]
                time.sleep(PAUSE_S)
                start = time.perf_counter()
                answer = calls[name]()
                times[index, round_, 0] = (time.perf_counter() - start) * 1e3
                if not np.array_equal(answer, expected[name]):
                    raise BenchmarkError(
                        f"{name} gave two answers to one frame: no time counts",
                        next_step="an engine must be deterministic; name another with --engine",
                    )
            progress.advance()
    return dict(zip(names, times[:, WARM_UP:], strict=True))
