"""A frame's range: what of it the network sees as 0 and as 1, and where its influence fades."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from scanside.runtime.frame import FrameFacts, Pixels, stored_values
from scanside.runtime.manifest import Intensity, Percentiles, StoredRange, Window
from scanside.runtime.strips import strips

Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# Far beyond any sane window in stored values, far within float32: a slope that makes more or less
# of it (1e-300, say) leaves nothing of the frame for the network to see.
LARGEST_CONSTANT = 2.0**60
_SMALLEST_SPAN = 2.0**-60


class UnitRange(msgspec.Struct, frozen=True):
    """A range of values mapped to [0, 1], and how the model's influence fades at its ends.

    zero: the value that becomes 0. span: what 1 is away from it (signed). fade: the part of [0, 1]
    at either end over which the weight rises from 0 to 1. Values are stored values on the device
    and modality values (HU) in training: the formula is the same.
    """

    zero: float
    span: float
    fade: float

    @property
    def one(self) -> float:
        """The value that becomes 1."""
        return self.zero + self.span

    def position(self, values: npt.NDArray[np.generic]) -> Float:
        """Where values lie, 0 at `zero` and 1 at `one`, not clipped. Any shape -> float32."""
        position: Float = np.asarray(values, dtype=np.float32) - np.float32(self.zero)
        position /= np.float32(self.span)
        return position

    def unit(self, values: npt.NDArray[np.generic]) -> Float:
        """What the network sees of values: `position` clipped to [0, 1]. Any shape -> float32."""
        return np.clip(self.position(values), 0.0, 1.0)

    def weight(self, values: npt.NDArray[np.generic]) -> Float:
        """The model's influence on base values: 1 inside, 0 outside, linear between."""
        position = self.position(values)
        inside = np.minimum(position, 1 - position)
        if self.fade == 0:
            return (inside >= 0).astype(np.float32)
        inside /= np.float32(self.fade)
        return np.clip(inside, 0.0, 1.0)


def window_range(window: Window) -> UnitRange:
    """The range of a fixed window in modality units: for training on float arrays of HU.

    `window_range(w).unit(hu)` is what the device's network sees of the same HU in a MONOCHROME2
    frame; a residual r of the network is r * span in HU, and `weight(hu)` what the device lets
    through of it.
    """
    return _modality_range(window.lower, window.upper, window.margin)


def _modality_range(lower: float, upper: float, margin: float) -> UnitRange:
    span = upper - lower + 2 * margin
    return UnitRange(lower - margin, span, margin / span if span > 0 else 0.0)


def range_of(
    words: Pixels, padding: Mask | None, facts: FrameFacts, intensity: Intensity
) -> UnitRange | None:
    """The frame's range in stored values, MONOCHROME1 already turned round; None if degenerate."""
    if _is_constant(words, padding, facts):
        return None
    if isinstance(intensity, StoredRange):
        low, high = facts.stored_range
        width = float(high - low)
        whole = UnitRange(low, width, 0.0) if facts.slope > 0 else UnitRange(high, -width, 0.0)
        return _turned(whole, facts)
    if isinstance(intensity, Percentiles):
        wanted = (intensity.lower, intensity.upper)
        if facts.slope < 0:
            wanted = (100 - intensity.lower, 100 - intensity.upper)
        lower, upper = (
            value * facts.slope + facts.intercept
            for value in _percentiles(words, padding, facts, wanted)
        )
        modality = _modality_range(lower, upper, intensity.margin * (upper - lower))
    else:
        modality = window_range(intensity)
    zero = (modality.zero - facts.intercept) / facts.slope
    span = modality.span / facts.slope
    if not (abs(span) > _SMALLEST_SPAN and max(abs(zero), abs(span)) < LARGEST_CONSTANT):
        return None
    return _turned(UnitRange(zero, span, modality.fade), facts)


def _is_constant(words: Pixels, padding: Mask | None, facts: FrameFacts) -> bool:
    """Whether all that is not padding has one value, or all is padding. Known, of most frames,
    after a few rows."""
    first = None
    for rows in strips(*words.shape):
        seen = stored_values(words[rows], facts)
        if padding is not None:
            seen = seen[~padding[rows]]
        if seen.size:
            first = seen.flat[0] if first is None else first
            if (seen != first).any():
                return False
    return True


def _turned(unit: UnitRange, facts: FrameFacts) -> UnitRange:
    """MONOCHROME1 stores dark as high: the network sees 1 - x, and its residual comes back as -r,
    which is the same range taken from its other end."""
    if facts.photometric != "MONOCHROME1":
        return unit
    return UnitRange(unit.one, -unit.span, unit.fade)


def _percentiles(
    words: Pixels, padding: Mask | None, facts: FrameFacts, wanted: tuple[float, float]
) -> list[float]:
    """Percentiles (0..100) of stored values, linear between order statistics as np.percentile.

    Over the histogram: several times faster than sorting, and what a GPU would do.
    """
    first, last = facts.stored_range
    counts = np.zeros(last - first + 1, dtype=np.intp)
    for rows in strips(*words.shape):
        seen = stored_values(words[rows], facts)
        seen -= first
        inside = seen.ravel() if padding is None else seen[~padding[rows]]
        counts += np.bincount(inside, minlength=len(counts))
    below = np.cumsum(counts)
    found = []
    for percentile in wanted:
        rank = percentile / 100 * (int(below[-1]) - 1)
        left, right = np.searchsorted(below, [math.floor(rank), math.ceil(rank)], side="right")
        found.append(first + left + (rank - math.floor(rank)) * float(right - left))
    return found
