"""Calls of this process in turn, in a new random order each round: engines and filters."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from scanside.benchmarks.evidence.paired import Times
from scanside.runtime.interleave import PAUSE_S
from scanside.runtime.progress import task


def turns(
    calls: Mapping[str, Callable[[], object]], rounds: int, title: str, warm_up: int = 1
) -> dict[str, Times]:
    """(rounds, 1) in ms of each. Before a call the machine is left alone for a moment: some
    libraries' threads spin after their work and would slow whoever comes next."""
    names = list(calls)
    times = np.empty((len(names), warm_up + rounds, 1))
    rng = np.random.default_rng(0)
    with task(title, warm_up + rounds) as progress:
        for round_ in range(warm_up + rounds):
            for one in rng.permutation(len(names)):
                time.sleep(PAUSE_S)
                start = time.perf_counter()
                calls[names[one]]()
                times[one, round_, 0] = (time.perf_counter() - start) * 1000
            progress.advance()
    return {name: mine[warm_up:] for name, mine in zip(names, times, strict=True)}
