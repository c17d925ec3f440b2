"""The frames that the serving benchmarks send."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scanside.runtime.frame import FrameFacts, Pixels

KINDS = 4
"""Different frames in turn, so that an answer to another frame shows."""
FACTS = FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0)


class Frame(NamedTuple):
    """words: (side, side) uint16. expected: what the engine in process makes of them."""

    words: Pixels
    expected: Pixels


def ct_frames(side: int, kinds: int = KINDS) -> list[Pixels]:
    """(side, side) uint16 frames of 12 bits: a soft body in air, under noise of 30 HU."""
    axis = np.linspace(-1, 1, side)
    radius = np.hypot(*np.meshgrid(axis, axis, indexing="ij", sparse=True))
    body = np.clip((0.8 - radius) * 40, 0, 1) * 1040 - 1000  # HU
    rng = np.random.default_rng(side)
    noisy = (body + rng.normal(0, 30, (side, side)) for _ in range(kinds))
    return [np.clip(np.rint(hu + 1024), 0, 4095).astype(np.uint16) for hu in noisy]


def answered_frames(engine: Callable[[Pixels], tuple[Pixels, float]], side: int) -> list[Frame]:
    """The frames, each with what `engine` makes of it."""
    return [Frame(words, engine(words)[0]) for words in ct_frames(side)]
