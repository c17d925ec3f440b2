"""One frame as it is stored: pixel words plus the facts that give the words a meaning.

A frame's array keeps the container the scanner used (uint8, int8, uint16, int16). Only the lowest
`bits_stored` bits are the value; the bits above may carry an overlay or rubbish, and are given back
untouched (`merge_stored`).
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.generic]
"""(..., R, C), one of `PIXEL_DTYPES`, native byte order."""

PIXEL_DTYPES = ("uint8", "int8", "uint16", "int16")


class FrameFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the header says of one frame's pixel words.

    bits_stored: 1..16 significant low bits of each word.
    signed: two's complement within `bits_stored` (Pixel Representation 1).
    photometric: MONOCHROME1 or MONOCHROME2.
    slope, intercept: stored value -> modality value (HU for CT); slope is finite and not 0.
    padding: inclusive range of stored values that are padding (Pixel Padding Value and Range
        Limit), or None.
    modality: DICOM's code, "CT", "MR", "CR", ...
    """

    modality: str
    bits_stored: int
    signed: bool
    photometric: str = "MONOCHROME2"
    slope: float = 1.0
    intercept: float = 0.0
    padding: tuple[int, int] | None = None

    @property
    def stored_range(self) -> tuple[int, int]:
        """Smallest and largest stored value that the bits can hold."""
        if self.signed:
            return -(1 << (self.bits_stored - 1)), (1 << (self.bits_stored - 1)) - 1
        return 0, (1 << self.bits_stored) - 1


def stored_values(words: Pixels, facts: FrameFacts) -> npt.NDArray[np.int32]:
    """The stored values of pixel words, sign-extended from `bits_stored`; int32, same shape."""
    mask = (1 << facts.bits_stored) - 1
    values = words.astype(np.int32) & mask
    if facts.signed:
        sign = 1 << (facts.bits_stored - 1)
        values = (values ^ sign) - sign
    return values


def merge_stored(values: npt.NDArray[np.int32], words: Pixels, facts: FrameFacts) -> Pixels:
    """Put stored values back into words: `words`' dtype, and its bits above `bits_stored`.

    values: same shape as words, within `facts.stored_range`.
    A signed frame whose words were sign-extended stays sign-extended: the bits above are copies of
    the sign there, not payload, so they follow the new value.
    """
    mask = (1 << facts.bits_stored) - 1
    old = words.astype(np.int32)
    merged = (values & mask) | (old & ~mask)
    if facts.signed:
        extended = old == stored_values(words, facts)
        merged = np.where(extended, values, merged)
    return merged.astype(words.dtype)
