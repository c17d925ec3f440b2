"""The frames of these runs: any bundle takes them, whatever its modality."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scanside.runtime.bundle import GOLDEN, Bundle
from scanside.runtime.engines import Engine
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.golden import decode_golden

KINDS = 4
"""Different frames in turn, so that an answer to another frame shows."""
SHIFT = 37
"""Columns between one frame and the next."""
DATA = "the bundle's first golden frame (synthetic), tiled to size and shifted; stored values"


class Asked(NamedTuple):
    """words: (side, side) stored pixels. expected: what the engine in process makes of them, of
    `scale` times their rows and columns."""

    words: Pixels
    facts: FrameFacts
    expected: Pixels


def frame_of(bundle: Bundle, side: int) -> tuple[Pixels, FrameFacts]:
    """A side x side frame out of the first golden one's pixels."""
    golden = decode_golden(bundle.member(GOLDEN), bundle.manifest)[0]
    return np.resize(golden.words, (side, side)), golden.facts


def asked_frames(bundle: Bundle, engine: Engine, side: int) -> list[Asked]:
    """`KINDS` frames and what `engine` makes of each."""
    words, facts = frame_of(bundle, side)
    shifted = [np.ascontiguousarray(np.roll(words, n * SHIFT, axis=1)) for n in range(KINDS)]
    return [Asked(one, facts, engine.run(one[np.newaxis], [facts])[0]) for one in shifted]
