"""Who sees what when: cases in random order, random sides, and some shown a second time."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Showing(NamedTuple):
    """One pair as it is shown. case: index. b_left: whether B is on the left. repeat: whether the
    case was shown before. block: 0, 1 or 2: blocks are shown one after the other, and the page
    shuffles within a block for each reader."""

    case: int
    b_left: bool
    repeat: bool
    block: int


def plan(cases: int, repeats: float, seed: int) -> list[Showing]:
    """The showings of `cases` cases, a share `repeats` (0 to 0.5) of them twice.

    B is on the left in half of the first showings (one more or less when odd), and so in the
    repeats. What is shown twice is in the first and in the last of three blocks, so that at least
    a quarter of the cases (rounded down) lies between.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(cases)
    head, middle = math.ceil(cases / 2), cases // 4
    again = round(repeats * cases)
    if not 0 <= again <= head:
        raise ValueError("at most half of the cases can be shown twice")
    firsts = [
        Showing(int(case), bool(left), False, 0 if index < head else 1 + (index >= head + middle))
        for index, (case, left) in enumerate(zip(order, _sides(cases, random), strict=True))
    ]
    seconds = [
        Showing(int(case), bool(left), True, 2)
        for case, left in zip(
            random.permutation(order[:head])[:again], _sides(again, random), strict=True
        )
    ]
    last = [showing for showing in firsts if showing.block == 2] + seconds
    random.shuffle(last)
    return [showing for showing in firsts if showing.block < 2] + last


def _sides(count: int, random: np.random.Generator) -> list[bool]:
    sides = np.arange(count) % 2 == random.integers(2)
    return [bool(side) for side in random.permutation(sides)]
