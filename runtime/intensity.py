"""The intensity map: stored pixel words -> the network's unit range, and its residual back.

One map for training and for every device; this NumPy code is the reference, an engine on a GPU
does the same float32 arithmetic. Per frame everything comes down to three constants in stored
values (`UnitRange`), into which slope, intercept and the inversion of MONOCHROME1 are folded::

    x = clip((stored - zero) / span, 0, 1)                  what the network sees
    w = clip(min(u, 1 - u) / fade, 0, 1)                    u: the same as x, of base, unclipped
    out = clip(rint(base + w * residual * span))            into the frame's bits and sign

`zero` is the stored value of lower - margin, `zero + span` that of upper + margin. A negative
slope or MONOCHROME1 makes `span` negative: 1 - x of MONOCHROME2's x, and -residual back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from scanside.runtime.cubic import REACH, double, fill, quarters
from scanside.runtime.errors import EngineError, NonFiniteError
from scanside.runtime.frame import FrameFacts, Pixels, merge_stored, stored_values
from scanside.runtime.manifest import Intensity, Percentiles, StoredRange, Window

Float = npt.NDArray[np.float32]
_Scalar = TypeVar("_Scalar", bound=np.generic)
Mask = npt.NDArray[np.bool_]

# Far beyond any sane window in stored values, far within float32: a slope that makes more or less
# of it (1e-300, say) leaves nothing of the frame for the network to see.
_LARGEST_CONSTANT = 2.0**60
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
        offset = values.astype(np.float32) - np.float32(self.zero)
        return np.asarray(offset / np.float32(self.span), dtype=np.float32)

    def unit(self, values: npt.NDArray[np.generic]) -> Float:
        """What the network sees of values: `position` clipped to [0, 1]. Any shape -> float32."""
        return np.clip(self.position(values), 0.0, 1.0)

    def weight(self, values: npt.NDArray[np.generic]) -> Float:
        """The model's influence on base values: 1 inside, 0 outside, linear between."""
        position = self.position(values)
        inside = np.minimum(position, 1 - position)
        if self.fade == 0:
            return (inside >= 0).astype(np.float32)
        return np.clip(inside / np.float32(self.fade), 0.0, 1.0)


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


class FrameMap:
    """The map of one frame: made once per frame, used before and after the network.

    words: (R, C) pixel words, not written to. The caller has admitted the frame
    (`scanside.runtime.admission`). `range` is None for a frame that holds nothing for a network to
    see (constant, all padding, no width between its percentiles): its base is its result.
    """

    def __init__(self, words: Pixels, facts: FrameFacts, intensity: Intensity) -> None:
        self._words = words
        self._facts = facts
        self._stored = stored_values(words, facts)
        self._padding = _padding_mask(self._stored, facts)
        self.range = _stored_range(self._stored, self._padding, facts, intensity)

    def unit(self, scale: int = 1) -> Float:
        """The network's input: (R, C) float32 in [0, 1]; zeros where `range` is None. At scale 2
        without padding, whose edge a network would sharpen like any other."""
        if self.range is None:
            return np.zeros(self._stored.shape, dtype=np.float32)
        return self.range.unit(self._stored if scale == 1 else self.unpadded)

    def untouched(self) -> Mask:
        """(R, C): pixels that no residual may change at scale 1 (padding, or beyond the margin)."""
        if self.range is None:
            return np.ones(self._stored.shape, dtype=np.bool_)
        outside: Mask = self.range.weight(self._stored) == 0
        return outside if self._padding is None else outside | self._padding

    @cached_property
    def unpadded(self) -> Float:
        """Stored values (R, C), float32, padding filled from around: what the cubic doubles."""
        values = self._stored.astype(np.float32)
        return values if self._padding is None else fill(values, self._padding)

    def apply(self, residual: Float | None, scale: int = 1) -> Pixels:
        """The enhanced frame: (R * scale, C * scale) words of the input's dtype.

        residual: (R * scale, C * scale) float32 in units of the network's input; None stands for
        zeros. Raises EngineError when it has another shape or a value that is not finite. At
        scale 1 untouched pixels are the very words, and bits above `bits_stored` are kept; at
        scale 2 they are not, and a pixel whose nearest source pixel is padding is that padding.
        """
        source = base = self._stored.astype(np.float32)
        padding = self._padding
        if scale == 2:
            base = double(self.unpadded)
            if padding is not None:
                padding = _repeat(padding)
                base = np.where(padding, _repeat(source), base)
        elif scale != 1:
            raise ValueError(f"scale {scale} is neither 1 nor 2")
        low, high = self._facts.stored_range
        changed = base
        if residual is not None:
            changed = base + self._change(residual, np.clip(base, low, high), padding)
        values = np.clip(np.rint(changed), low, high).astype(np.int32)
        if scale == 1:
            return merge_stored(values, self._words, self._facts)
        return values.astype(self._words.dtype)

    def unchanged(self, top: int, bottom: int, scale: int = 1) -> Iterator[tuple[int, int, Float]]:
        """What `apply(None, scale)` gives of the source's rows top to bottom, in parts: row and
        column where one begins in there, and every `scale`-th pixel of either axis from there on,
        (bottom - top, C) float32 stored values. For looking at large frames piece by piece."""
        source = self._stored[top:bottom].astype(np.float32)
        if scale == 1:
            yield 0, 0, source
            return
        above, below = max(0, top - REACH), min(bottom + REACH, len(self._stored))
        low, high = self._facts.stored_range
        for row, column, quarter in quarters(self.unpadded[above:below]):
            base = quarter[top - above : bottom - above]
            np.clip(np.rint(base, out=base), low, high, out=base)
            if self._padding is not None:
                np.copyto(base, source, where=self._padding[top:bottom])
            yield row, column, base

    def _change(self, residual: Float, base: Float, padding: Mask | None) -> Float:
        """w * residual in stored values. base: already within the bits, for a base that the cubic
        overshot deserves the weight of the nearest value that the frame can hold."""
        if residual.shape != base.shape:
            raise EngineError(f"the network gave {residual.shape} for a frame of {base.shape}")
        if not np.isfinite(residual).all():
            raise NonFiniteError("the network gave a value that is not finite")
        if self.range is None:
            return np.zeros(base.shape, dtype=np.float32)
        weight = self.range.weight(base)
        if padding is not None:
            weight[padding] = 0
        # A residual too large for float32 ends at the bits' limit; it must not become 0 * inf.
        limit = np.float32(_LARGEST_CONSTANT / abs(self.range.span))
        bounded = np.clip(residual.astype(np.float32), -limit, limit)
        return np.asarray(weight * (bounded * np.float32(self.range.span)), dtype=np.float32)


def to_unit(words: Pixels, facts: FrameFacts, intensity: Intensity, scale: int = 1) -> Float:
    """The network's input for one frame: (R, C) words -> (R, C) float32 in [0, 1]."""
    return FrameMap(words, facts, intensity).unit(scale)


def apply_residual(
    words: Pixels, residual: Float, facts: FrameFacts, intensity: Intensity, scale: int = 1
) -> Pixels:
    """One frame with the network's residual: see `FrameMap.apply`."""
    return FrameMap(words, facts, intensity).apply(residual, scale)


def _padding_mask(stored: npt.NDArray[np.int32], facts: FrameFacts) -> Mask | None:
    if facts.padding is None:
        return None
    low, high = min(facts.padding), max(facts.padding)
    mask = (stored >= low) & (stored <= high)
    return mask if mask.any() else None


def _repeat(image: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """(R, C) -> (2R, 2C), each pixel four times: the nearest source of every output pixel."""
    return image.repeat(2, axis=0).repeat(2, axis=1)


def _stored_range(
    stored: npt.NDArray[np.int32], padding: Mask | None, facts: FrameFacts, intensity: Intensity
) -> UnitRange | None:
    """The frame's range in stored values, MONOCHROME1 already turned round; None if degenerate."""
    seen = stored if padding is None else stored[~padding]
    if seen.size == 0 or seen.min() == seen.max():
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
            value * facts.slope + facts.intercept for value in _percentiles(seen, wanted)
        )
        modality = _modality_range(lower, upper, intensity.margin * (upper - lower))
    else:
        modality = window_range(intensity)
    zero = (modality.zero - facts.intercept) / facts.slope
    span = modality.span / facts.slope
    if not (abs(span) > _SMALLEST_SPAN and max(abs(zero), abs(span)) < _LARGEST_CONSTANT):
        return None
    return _turned(UnitRange(zero, span, modality.fade), facts)


def _turned(unit: UnitRange, facts: FrameFacts) -> UnitRange:
    """MONOCHROME1 stores dark as high: the network sees 1 - x, and its residual comes back as -r,
    which is the same range taken from its other end."""
    if facts.photometric != "MONOCHROME1":
        return unit
    return UnitRange(unit.one, -unit.span, unit.fade)


def _percentiles(seen: npt.NDArray[np.int32], wanted: tuple[float, float]) -> list[float]:
    """Percentiles (0..100) of stored values, linear between order statistics as np.percentile.

    Over the histogram: several times faster than sorting, and what a GPU would do.
    """
    first = int(seen.min())
    below = np.cumsum(np.bincount((seen - first).ravel()))
    found = []
    for percentile in wanted:
        rank = percentile / 100 * (seen.size - 1)
        left, right = np.searchsorted(below, [math.floor(rank), math.ceil(rank)], side="right")
        found.append(first + left + (rank - math.floor(rank)) * float(right - left))
    return found
