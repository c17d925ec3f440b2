"""Everything that is timed, in turn: each once a round, in a new random order each round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from scanside.benchmarks.evidence.paired import Times
from scanside.runtime.interleave import PAUSE_S
from scanside.runtime.progress import task

WARM_UP = 2
"""Rounds that do not count."""


class Cell(NamedTuple):
    """of: what it is, for a record. call: makes so many calls one after the other, checks their
    answers, and returns ms per frame of each; of several streams, one stream's after another's."""

    of: dict[str, str]
    call: Callable[[int], Sequence[float]]

    @property
    def name(self) -> str:
        return ", ".join(f"{key} {word}" for key, word in self.of.items())


def in_turn(
    cells: Sequence[Cell],
    rounds: int,
    calls: int,
    title: str,
    between: Callable[[], object] = lambda: None,
) -> list[Times]:
    """(rounds, calls) in ms of each cell. Before each the machine is left alone for a moment: some
    libraries' threads spin after their work and would slow whoever comes next. between: is called
    before the first round and after every one."""
    found: list[list[Sequence[float]]] = [[] for _ in cells]
    rng = np.random.default_rng(0)
    with task(title, WARM_UP + rounds) as progress:
        for round_ in range(-WARM_UP, rounds):
            if round_ == 0:
                between()
            for one in rng.permutation(len(cells)):
                time.sleep(PAUSE_S)
                taken = cells[one].call(calls)
                if round_ >= 0:
                    found[one].append(taken)
            if round_ >= 0:
                between()
            progress.advance()
    return [np.asarray(one, dtype=np.float64) for one in found]
