"""What a model did to a frame, so that one frame's result can be held against what is usual.

Measured in the frame's own unit range (1 is all that the network sees of it), since MR has no unit:
of CT with a window of -1320 to 1320 HU, 0.01 is 26 HU.

It knows nothing of the engine that made the result: the base is computed here once more, in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import Guard, Intensity, Manifest
from scanside.runtime.strips import stored_floats, strips

MIN_ROWS = 8
"""The cubic needs two rows more on either side of a strip."""

Float = npt.NDArray[np.float32]
Short = npt.NDArray[np.int16]


class Change(NamedTuple):
    """Of a result against its base (the frame, or its cubic interpolation), over all pixels.
    largest: absolute. mean: signed, over 0 where the result is brighter."""

    largest: float
    rms: float
    mean: float

    @property
    def deviation(self) -> float:
        return math.sqrt(max(0.0, self.rms**2 - self.mean**2))


NOTHING = Change(0.0, 0.0, 0.0)
"""This very object is returned for a frame that holds nothing for a network to see."""
INFINITE = Change(math.inf, math.inf, 0.0)
"""Of a result that differs where nothing may: such a frame has no range to measure it in."""


def change_of(
    words: Pixels, result: Pixels, facts: FrameFacts, intensity: Intensity, scale: int = 1
) -> Change:
    """words: (R, C). result: (R * scale, C * scale), of the same dtype."""
    frame = FrameMap(words, facts, intensity)
    largest = total = squares = 0.0
    ones = np.ones(0, dtype=np.float32)
    for difference in _differences(frame, words, result, facts, scale):
        flat = difference.ravel()
        largest = max(largest, float(flat.max()), -float(flat.min()))
        if ones.size < flat.size:
            ones = np.ones(flat.size, dtype=np.float32)
        values = flat.astype(np.float32, copy=False)
        total += float(np.dot(values, ones[: flat.size]))  # a quarter of the time of `sum`
        squares += float(np.dot(values, values))
    if frame.range is None:
        return INFINITE if largest > 0 else NOTHING
    span = frame.range.span
    rms = math.sqrt(squares / result.size) / abs(span)
    return Change(float(largest / abs(span)), float(rms), float(total / result.size / span))


def outside(change: Change, guard: Guard) -> bool:
    """Whether a result must not be shown: it changes more than any held-out image was changed."""
    return not (change.largest <= guard.largest_change and change.rms <= guard.largest_rms)


def check_result(
    manifest: Manifest, words: Pixels, result: Pixels, facts: FrameFacts
) -> tuple[Change | None, bool]:
    """What the model did to an admitted frame, and whether that is within the bundle's bounds.

    The change is None for a frame that holds nothing to see, and where the bundle records neither
    bounds nor golden statistics to hold it against.
    """
    if manifest.guard is None and manifest.golden_noise is None:
        return None, True
    change = change_of(words, result, facts, manifest.intensity, manifest.scale)
    if change is NOTHING:
        return None, True
    return change, manifest.guard is None or not outside(change, manifest.guard)


def _differences(
    frame: FrameMap, words: Pixels, result: Pixels, facts: FrameFacts, scale: int
) -> Iterator[Float | Short]:
    """Result less base in stored values, in parts of which each pixel is in one."""
    rows, columns = words.shape
    short = scale == 1 and words.dtype == np.uint16 and _fits_short(facts)
    for strip in strips(rows, columns, least=MIN_ROWS):
        made = result[strip.start * scale : strip.stop * scale]
        if short:
            yield _short_difference(made, words[strip])
            continue
        for row, column, base in frame.unchanged(strip.start, strip.stop, scale):
            difference = stored_floats(made[row::scale, column::scale], facts)
            difference -= base
            yield difference


def _fits_short(facts: FrameFacts) -> bool:
    return not facts.signed and facts.bits_stored < 16


def _short_difference(made: Pixels, words: Pixels) -> Short:
    """Of two (n, C) uint16 whose values `_fits_short`: in 16 bits, in half the time of float32.

    Bits above Bits Stored are the same in both and go; where a result had others, it differs by so
    much that no bound allows it."""
    return np.subtract(made, words).view(np.int16)  # wraps, and is read as signed
