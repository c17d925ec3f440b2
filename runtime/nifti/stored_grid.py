"""Volumes of floats as whole stored values, and what the engine made of them back into floats.

A model sees 16 bits. The step between two stored values is a power of two, the smallest with which
16 bits reach from the volume's lowest value to its highest: so whole numbers over a range of up to
65534 (a CT stored as floats), halves over half of it and so on are stored values exactly.

The rounding of the others reaches only what the network sees. The result is the float image plus
the *change* that the engine made, in steps: float + step * (enhanced - unchanged). At scale 1 a
voxel that the engine leaves alone is the very float; at scale 2 the float image is its own cubic
interpolation.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from scanside.runtime.cubic import double
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.intensity import Float, FrameMap
from scanside.runtime.manifest import StoredRange
from scanside.runtime.nifti.refusals import unsupported

Reals = npt.NDArray[np.floating[Any]]

_HIGHEST = 65535
_LARGEST_VALUE = 1e30  # beyond any unit; the cubic of it is still finite
_SMALLEST_RANGE = 1e-30
# The central 98% of the values need at least this many steps: less than that and the volume's
# outliers have taken the bits of its tissue.
_FEWEST_STEPS = 256
_SAMPLE = 2**20


class StoredGrid(NamedTuple):
    """value = zero + step * stored, stored in 0..65535; step a power of two, zero a multiple."""

    step: float
    zero: float

    def words(self, frame: Reals) -> Pixels:
        """(R, C) values -> uint16."""
        return np.rint((frame.astype(np.float64) - self.zero) / self.step).astype(np.uint16)

    def apply(self, frame: Reals, enhanced: Pixels, facts: FrameFacts, scale: int) -> Reals:
        """(R, C) values and the (R * scale, C * scale) words made of `words(frame)` -> values.

        The result has the dtype of `frame` and stays within what 16 bits reach, as a stored frame
        does.
        """
        unchanged = FrameMap(self.words(frame), facts, StoredRange()).apply(None, scale)
        change = enhanced.astype(np.float64) - unchanged.astype(np.float64)
        base = frame.astype(np.float64)
        if scale == 2:
            base = np.asarray(double(cast(Float, base)), np.float64)
        highest = self.zero + _HIGHEST * self.step
        values = np.clip(base + self.step * change, self.zero, highest)
        if scale == 1:
            values = np.where(change == 0, frame, values)  # a zero's sign included
        return values.astype(frame.dtype)


def stored_grid(voxels: Reals) -> StoredGrid:
    """The grid of a whole volume, (N, R, C).

    Raises UnsupportedImageError: reason "not finite" for NaN or infinity, "value range" where a
    few far outliers leave fewer than 256 steps to the rest.
    """
    lowest, highest = float(voxels.min()), float(voxels.max())
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise unsupported(
            "not finite", "the volume holds NaN or infinite voxels", "replace them first"
        )
    if max(abs(lowest), abs(highest)) > _LARGEST_VALUE:
        raise _too_wide()
    step = _step((highest - lowest) / (_HIGHEST - 1))
    grid = StoredGrid(step, math.floor(lowest / step) * step)
    _refuse_outliers(voxels, grid)
    return grid


def _step(at_least: float) -> float:
    if at_least < _SMALLEST_RANGE:
        return 1.0
    mantissa, exponent = math.frexp(at_least)
    return math.ldexp(1.0, exponent - 1 if mantissa == 0.5 else exponent)


def _refuse_outliers(voxels: Reals, grid: StoredGrid) -> None:
    sample = voxels.reshape(-1)[:: max(1, voxels.size // _SAMPLE)].astype(np.float64)
    rounding = np.abs(np.rint(sample / grid.step) * grid.step - sample).max()
    others = sample[sample != np.median(sample)]  # a background may be more than half of it
    if others.size == 0 or rounding == 0:
        return
    low, high = np.percentile(others, [1, 99])
    if 0 < high - low < _FEWEST_STEPS * grid.step:
        raise _too_wide()


def _too_wide() -> Exception:
    return unsupported(
        "value range",
        "a few values lie so far out that 16 bits are too coarse for the others",
        "clip the outliers first",
    )
