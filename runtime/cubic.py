"""Twofold cubic interpolation: what a super-resolution model's residual is added to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
REACH = 2
"""Source pixels that a result depends on, either way."""

# Keys' cubic convolution with a = -1/2 (R. Keys, IEEE Trans. ASSP 29, 1981: the one value of third
# order; also called Catmull-Rom) at the phases -1/4 and +1/4 of half-pixel-centred doubling.
# The taps are n/128 and sum to 1: along one axis 16-bit values come out exact in float32.
_TAPS = (-3 / 128, 29 / 128, 111 / 128, -9 / 128)


def double(image: Float) -> Float:
    """(R, C) float32 -> (2R, 2C) float32, half-pixel-centred, edges clamped; may overshoot."""
    # Columns first: measured a third faster than rows first, and C order comes out.
    return _double_along(_double_along(image, 1), 0)


def fill(image: Float, holes: Mask) -> Float:
    """(R, C) with its holes filled from around, so that padding is no edge: 2,000 HU under tissue
    would make the cubic overshoot by 140 HU beside it.

    As deep as the cubic reaches by the mean of the neighbours that are there, then by the lowest
    value.
    """
    if not holes.any() or holes.all():
        return image
    filled = np.where(holes, image[~holes].min(), image).astype(np.float32)
    for _ in range(REACH):
        there = _around((~holes).astype(np.float32))
        total = _around(np.where(holes, np.float32(0), filled))
        edge = holes & (there > 0)
        filled[edge] = total[edge] / there[edge]
        holes = holes & ~edge
    return filled


def _around(image: Float) -> Float:
    """Sum over 3 x 3 pixels, nothing beyond the edges."""
    padded = np.pad(image, 1)
    across = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    total: Float = across[:-2] + across[1:-1] + across[2:]
    return total


def _double_along(image: Float, axis: int) -> Float:
    """Along one axis: output 2i lies 1/4 before source i, output 2i + 1 lies 1/4 after it."""
    length = image.shape[axis]
    widths = [(0, 0), (0, 0)]
    widths[axis] = (2, 2)
    padded = np.pad(image, widths, mode="edge")

    def shifted(start: int) -> Float:
        return padded[start : start + length] if axis == 0 else padded[:, start : start + length]

    taps = [np.float32(tap) for tap in _TAPS]
    before = sum(tap * shifted(k) for k, tap in enumerate(taps))
    after = sum(tap * shifted(4 - k) for k, tap in enumerate(taps))
    rows, columns = image.shape
    doubled = (2 * rows, columns) if axis == 0 else (rows, 2 * columns)
    return np.stack((before, after), axis=axis + 1).reshape(doubled)
