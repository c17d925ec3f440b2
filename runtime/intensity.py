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

from collections.abc import Iterator
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from scanside.runtime.cubic import REACH, double, fill, quarters
from scanside.runtime.errors import EngineError, NonFiniteError
from scanside.runtime.frame import FrameFacts, Pixels, merge_stored, stored_values
from scanside.runtime.manifest import Intensity
from scanside.runtime.strips import stored_floats, strips
from scanside.runtime.unit_range import LARGEST_CONSTANT, range_of

Float = npt.NDArray[np.float32]
_Scalar = TypeVar("_Scalar", bound=np.generic)
Mask = npt.NDArray[np.bool_]


class FrameMap:
    """The map of one frame: made once per frame, used before and after the network.

    words: (R, C) pixel words, not written to. The caller has admitted the frame
    (`scanside.runtime.admission`). `range` is None for a frame that holds nothing for a network to
    see (constant, all padding, no width between its percentiles): its base is its result.
    """

    def __init__(self, words: Pixels, facts: FrameFacts, intensity: Intensity) -> None:
        self._words = words
        self._facts = facts
        # Whether the words' own type holds every stored value. A float beyond a type's range is the
        # processor's to cast: -1 becomes 65535 on x86, and 0 on aarch64; an int32 wraps.
        self._fits = facts.signed == (words.dtype.kind == "i")
        self._padding = _padding_mask(words, facts)
        self.range = range_of(words, self._padding, facts, intensity)

    def unit(self, scale: int = 1) -> Float:
        """The network's input: (R, C) float32 in [0, 1]; zeros where `range` is None. At scale 2
        without padding, whose edge a network would sharpen like any other."""
        if self.range is None:
            return np.zeros(self._words.shape, dtype=np.float32)
        unit = np.empty(self._words.shape, dtype=np.float32)
        for rows in strips(*self._words.shape):
            values = self._stored(rows) if scale == 1 else self.unpadded[rows]
            unit[rows] = self.range.unit(values)
        return unit

    def untouched(self) -> Mask:
        """(R, C): pixels that no residual may change at scale 1 (padding, or beyond the margin)."""
        if self.range is None:
            return np.ones(self._words.shape, dtype=np.bool_)
        outside: Mask = self.range.weight(self._stored()) == 0
        return outside if self._padding is None else outside | self._padding

    @cached_property
    def unpadded(self) -> Float:
        """Stored values (R, C), float32, padding filled from around: what the cubic doubles."""
        values = self._stored()
        return values if self._padding is None else fill(values, self._padding)

    def apply(self, residual: Float | None, scale: int = 1, out: Pixels | None = None) -> Pixels:
        """The enhanced frame: (R * scale, C * scale) words of the input's dtype, in `out` if given.

        residual: (R * scale, C * scale) float32 in units of the network's input; None stands for
        zeros. Raises EngineError when it has another shape or a value that is not finite. At
        scale 1 untouched pixels are the very words, and bits above `bits_stored` are kept; at
        scale 2 they are not, and a pixel whose nearest source pixel is padding is that padding.
        """
        if scale not in (1, 2):
            raise ValueError(f"scale {scale} is neither 1 nor 2")
        shape = tuple(scale * side for side in self._words.shape)
        if residual is not None and residual.shape != shape:
            raise EngineError(f"the network gave {residual.shape} for a frame of {shape}")
        whole, padding = self._base_and_padding(scale)
        low, high = self._facts.stored_range
        result = np.empty(shape, dtype=self._words.dtype) if out is None else out
        for rows in strips(*shape):
            base = self._stored(rows) if whole is None else whole[rows]
            changed = base
            if residual is not None:
                # Within the bits: a base that the cubic overshot deserves the weight of the nearest
                # value that the frame can hold.
                held = base if scale == 1 else np.clip(base, low, high)
                hidden = None if padding is None else padding[rows]
                changed = self._change(residual[rows], held, hidden)
                changed += base
            values = np.rint(changed)
            np.clip(values, low, high, out=values)
            if scale == 1:
                self._merge(values, rows, result[rows])
            else:
                result[rows] = values if self._fits else values.astype(np.int32)
        return result

    def unchanged(self, top: int, bottom: int, scale: int = 1) -> Iterator[tuple[int, int, Float]]:
        """What `apply(None, scale)` gives of the source's rows top to bottom, in parts: row and
        column where one begins in there, and every `scale`-th pixel of either axis from there on,
        (bottom - top, C) float32 stored values. For looking at large frames piece by piece."""
        source = self._stored(slice(top, bottom))
        if scale == 1:
            yield 0, 0, source
            return
        above, below = max(0, top - REACH), min(bottom + REACH, len(self._words))
        low, high = self._facts.stored_range
        for row, column, quarter in quarters(self.unpadded[above:below]):
            base = quarter[top - above : bottom - above]
            np.clip(np.rint(base, out=base), low, high, out=base)
            if self._padding is not None:
                np.copyto(base, source, where=self._padding[top:bottom])
            yield row, column, base

    def _stored(self, rows: slice = slice(None)) -> Float:
        """Stored values of some rows, (n, C), in an array of its own."""
        return stored_floats(self._words[rows], self._facts)

    def _base_and_padding(self, scale: int) -> tuple[Float | None, Mask | None]:
        """What the residual is added to, None for the stored values, and which of it is padding."""
        padding = self._padding
        if scale == 1:
            return None, padding
        base = double(self.unpadded)
        if padding is not None:
            padding = _repeat(padding)
            np.copyto(base, _repeat(self._stored()), where=padding)
        return base, padding

    def _change(self, residual: Float, base: Float, padding: Mask | None) -> Float:
        """w * residual in stored values, in an array of its own. base: within the bits."""
        if not np.isfinite(residual).all():
            raise NonFiniteError("the network gave a value that is not finite")
        if self.range is None:
            return np.zeros(base.shape, dtype=np.float32)
        weight = self.range.weight(base)
        if padding is not None:
            weight[padding] = 0
        # A residual too large for float32 ends at the bits' limit; it must not become 0 * inf.
        limit = np.float32(LARGEST_CONSTANT / abs(self.range.span))
        bounded = np.clip(np.asarray(residual, dtype=np.float32), -limit, limit)
        bounded *= np.float32(self.range.span)
        bounded *= weight
        return bounded

    def _merge(self, values: Float, rows: slice, out: Pixels) -> None:
        """Put stored values back into their words, as `merge_stored` does, but into `out`."""
        words, bits = self._words[rows], self._facts.bits_stored
        if bits == 8 * words.dtype.itemsize and self._fits:
            out[:] = values
        elif not self._facts.signed and self._fits:
            above = words.dtype.type(((1 << 8 * words.dtype.itemsize) - 1) >> bits << bits)
            out[:] = values
            np.bitwise_or(out, np.bitwise_and(words, above), out=out)
        else:
            out[:] = merge_stored(values.astype(np.int32), words, self._facts)


def to_unit(words: Pixels, facts: FrameFacts, intensity: Intensity, scale: int = 1) -> Float:
    """The network's input for one frame: (R, C) words -> (R, C) float32 in [0, 1]."""
    return FrameMap(words, facts, intensity).unit(scale)


def apply_residual(
    words: Pixels, residual: Float, facts: FrameFacts, intensity: Intensity, scale: int = 1
) -> Pixels:
    """One frame with the network's residual: see `FrameMap.apply`."""
    return FrameMap(words, facts, intensity).apply(residual, scale)


def _padding_mask(words: Pixels, facts: FrameFacts) -> Mask | None:
    if facts.padding is None:
        return None
    low, high = min(facts.padding), max(facts.padding)
    mask = np.empty(words.shape, dtype=np.bool_)
    for rows in strips(*words.shape):
        stored = stored_values(words[rows], facts)
        np.logical_and(stored >= low, stored <= high, out=mask[rows])
    return mask if mask.any() else None


def _repeat(image: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """(R, C) -> (2R, 2C), each pixel four times: the nearest source of every output pixel."""
    return image.repeat(2, axis=0).repeat(2, axis=1)
