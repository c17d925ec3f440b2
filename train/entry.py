"""What the bank holds of one training image, and one draw from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scanside.runtime.frame import FrameFacts
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import Intensity
from scanside.runtime.unit_range import UnitRange
from scanside.train.data.slice import Slice, Values

Array = npt.NDArray[np.float32]


class Entry(NamedTuple):
    """clean: (R, C) what is to be reached. fields: (K, R, C) float16, realisations of unit noise
    where making them takes long, else K = 0. coarse: (R / 2, C / 2) what is doubled, else empty.
    limits: lowest and highest value that its bits hold. strength: what a level is measured against
    (the 99th percentile, say). error: of the doubled coarse image (rms), else 0. floor: above it
    lies the body. levels (L,) and ends (L, 3): zero,
    span and fade of the unit range at each level."""

    clean: Values
    fields: npt.NDArray[np.float16]
    coarse: Array
    limits: tuple[int, int]
    strength: float
    error: float
    floor: float
    levels: Array
    ends: Array

    def unit_range(self, level: float) -> UnitRange:
        """The range that the device would map the image by, at a level of degradation."""
        ends = [float(np.interp(level, self.levels, column)) for column in self.ends.T]
        return UnitRange(*ends)


class Draw(NamedTuple):
    """degraded: (h, w) what the network sees; base and clean: (H, W) what its residual is added to
    and what should come out, all in modality units. level: drawn. deviation: typical error at that
    level; typical: at a middling one."""

    degraded: Array
    base: Array
    clean: Array
    level: float
    deviation: float
    typical: float


def facts_of(piece: Slice, modality: str) -> FrameFacts:
    """What a scanner's header would say of a slice stored as it is."""
    return FrameFacts(
        modality=modality,
        bits_stored=piece.bits,
        signed=piece.values.dtype.kind == "i",
        padding=piece.padding,
    )


def as_words(values: npt.NDArray[np.floating], piece: Slice) -> Values:
    """Values as the scanner would store them: rounded, within the bits, of the slice's dtype."""
    low, high = piece.limits
    return np.asarray(np.clip(np.rint(values), low, high), dtype=piece.values.dtype)


def ends_of(words: Values, facts: FrameFacts, intensity: Intensity) -> tuple[float, float, float]:
    """Zero, span and fade of a whole image's unit range; of an empty one, harmless ones."""
    found = FrameMap(words, facts, intensity).range
    return (0.0, 1.0, 0.0) if found is None else (found.zero, found.span, found.fade)
