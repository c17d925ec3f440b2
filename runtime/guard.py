"""What a model did to a frame, so that one frame's result can be held against what is usual.

Measured in the frame's own unit range (1 is all that the network sees of it), since MR has no unit:
of CT with a window of -1320 to 1320 HU, 0.01 is 26 HU.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from scanside.runtime.frame import FrameFacts, Pixels, stored_values
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import Guard, Intensity


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


def change_of(
    words: Pixels, result: Pixels, facts: FrameFacts, intensity: Intensity, scale: int = 1
) -> Change:
    """words: (R, C). result: (R * scale, C * scale), of the same dtype."""
    frame = FrameMap(words, facts, intensity)
    if frame.range is None:
        return NOTHING
    base = stored_values(frame.apply(None, scale), facts)
    difference = (stored_values(result, facts) - base) / frame.range.span
    return Change(
        float(np.abs(difference).max()),
        float(np.sqrt(np.square(difference).mean())),
        float(difference.mean()),
    )


def outside(change: Change, guard: Guard) -> bool:
    """Whether a result must not be shown: it changes more than any held-out image was changed."""
    return not (change.largest <= guard.largest_change and change.rms <= guard.largest_rms)
