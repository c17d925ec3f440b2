"""Twofold cubic interpolation: what a super-resolution model's residual is added to."""

from __future__ import annotations

from collections.abc import Iterator

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
    doubled = np.empty((2 * image.shape[0], 2 * image.shape[1]), dtype=np.float32)
    for row, column, quarter in quarters(image):
        doubled[row::2, column::2] = quarter
    return doubled


def quarters(image: Float) -> Iterator[tuple[int, int, Float]]:
    """`double` in four parts: row and column (0 or 1) where a part begins, every second pixel of
    either axis from there on, (R, C) float32."""
    wide = np.pad(image, ((0, 0), (REACH, REACH)), mode="edge")
    for column in (0, 1):
        tall = np.pad(_weighed(wide.T, column).T, ((REACH, REACH), (0, 0)), mode="edge")
        for row in (0, 1):
            yield row, column, _weighed(tall, row)


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


def _weighed(padded: Float, phase: int) -> Float:
    """Along the first axis, which has `REACH` more at either end: phase 0 lies 1/4 before each
    source pixel, phase 1 lies 1/4 after it."""
    length = len(padded) - 2 * REACH
    total = np.multiply(padded[_start(phase, 0) :][:length], np.float32(_TAPS[0]))
    term = np.empty_like(total)
    for number, tap in enumerate(_TAPS[1:], 1):
        np.multiply(padded[_start(phase, number) :][:length], np.float32(tap), out=term)
        total += term
    return total


def _start(phase: int, tap: int) -> int:
    return 2 * REACH - tap if phase else tap
