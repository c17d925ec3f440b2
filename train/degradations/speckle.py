"""Speckle of B-mode ultrasound: many scatterers in one resolution cell, seen through a logarithm.

The echo of fully developed speckle is circular complex normal, its intensity exponential, its
amplitude Rayleigh (C. Burckhardt, IEEE Trans. Sonics Ultrason. 25, 1978); averaging L independent
patterns (compounding) gives a contrast of 1/sqrt(L). After log compression the deviation of one
look is 5.57 dB.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Array = npt.NDArray[np.float32]
_LEAST = 1e-12


def speckle(
    values: Array,
    limit: float,
    looks: float,
    grain: tuple[float, float],
    dynamic_range_db: float,
    rng: np.random.Generator,
) -> Array:
    """An image (R, C), 0..limit over `dynamic_range_db`, with speckle of so many looks.

    grain: deviations of the point spread along a row and along a column, in pixels. Looks between
    whole numbers: the last pattern counts less, so that the contrast is exactly 1/sqrt(looks).
    The mean intensity is kept; the mean grey level falls, as a logarithm makes it (2.51 dB at one
    look).
    """
    intensity = _intensity(values.shape, looks, grain, rng)
    decibels = 10 * np.log10(np.maximum(intensity, _LEAST))
    shown = values + decibels * np.float32(limit / dynamic_range_db)
    # Where it is black nothing was measured: outside the sector there is no speckle.
    return np.where(values > 0, np.clip(shown, 0, limit), 0).astype(np.float32)


def _intensity(
    shape: tuple[int, ...], looks: float, grain: tuple[float, float], rng: np.random.Generator
) -> Array:
    """Mean 1, variance 1/looks."""
    weights = look_weights(looks)
    along, across = grain
    fields = rng.standard_normal((2 * len(weights), *shape), dtype=np.float32)
    smooth = gaussian_filter(fields, (0, across, along), mode="wrap")
    power = np.square(smooth).reshape(len(weights), 2, *shape).sum(1)
    # Of a Gaussian filter of deviation s: sum of squared taps along either axis.
    gain = _squared_taps(along) * _squared_taps(across)
    total = np.tensordot(weights, power, 1) / (2 * gain)
    return np.asarray(total, dtype=np.float32)


def look_weights(looks: float) -> npt.NDArray[np.float32]:
    """Weights, summing to 1, of ceil(looks) patterns whose mean has the variance 1/looks.

    All but the last weigh a, the last b: (n - 1) a + b = 1 and (n - 1) a^2 + b^2 = 1 / looks.
    """
    n = math.ceil(looks)
    if n == 1:
        return np.ones(1, np.float32)
    # b from the quadratic n b^2 - 2 b + 1 - (n - 1) / looks = 0, its smaller root.
    b = (1 - math.sqrt(max(0.0, 1 - n * (1 - (n - 1) / looks)))) / n
    return np.array([(1 - b) / (n - 1)] * (n - 1) + [b], np.float32)


def _squared_taps(sigma: float) -> float:
    impulse = np.zeros(2 * int(4 * sigma + 2) + 1)
    impulse[len(impulse) // 2] = 1
    return float(np.square(gaussian_filter(impulse, sigma)).sum())
