"""Rician noise: what the magnitude of a noisy complex MR image is.

H. Gudbjartsson and S. Patz, The Rician distribution of noisy MRI data, Magn. Reson. Med. 34 (1995).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ive

Array = npt.NDArray[np.float32]
_STEPS = 4096
_FAR = 40.0
"""Standard deviations; beyond, the bias is sigma^2 / 2a to four digits."""


def rician(values: Array, sigma: float, rng: np.random.Generator, acquired: float = 1.0) -> Array:
    """Magnitude of `values` (..., R, C) with normal noise of deviation sigma in either channel.

    acquired: the central share of k-space measured on either axis. Under 1 the noise outside it is
    missing, as after zero-filling, and what is left keeps the deviation sigma.
    """
    noise = rng.standard_normal((2, *values.shape), dtype=np.float32)
    if acquired < 1:
        noise = _band_limited(noise, acquired)
    real, imaginary = np.float32(sigma) * noise
    return np.asarray(np.hypot(values + real, imaginary))


def _band_limited(noise: Array, acquired: float) -> Array:
    """White noise through a rectangle in k-space, its deviation restored."""
    rows, columns = noise.shape[-2:]
    keep = (np.abs(np.fft.fftfreq(rows)) <= acquired / 2)[:, None] & (
        np.fft.rfftfreq(columns) <= acquired / 2
    )
    # Of the full plane: the half that rfft leaves out mirrors the one it gives.
    whole = (np.abs(np.fft.fftfreq(rows)) <= acquired / 2).mean() * (
        np.abs(np.fft.fftfreq(columns)) <= acquired / 2
    ).mean()
    limited = np.fft.irfft2(np.fft.rfft2(noise) * keep, s=(rows, columns))
    return np.asarray(limited / np.sqrt(whole), dtype=np.float32)


def rician_mean(amplitude: npt.NDArray[np.floating], sigma: float) -> npt.NDArray[np.float64]:
    """Mean of the magnitude at a true amplitude: sigma sqrt(pi/2) L_1/2(-a^2 / 2 sigma^2).

    The Laguerre function by scaled Bessel functions, as in C. Koay and P. Basser, J. Magn. Reson.
    179 (2006), eq. 5; of a large amplitude by its asymptote.
    """
    x = np.square(np.asarray(amplitude, np.float64) / sigma) / 4
    mean = sigma * np.sqrt(np.pi / 2) * ((1 + 2 * x) * ive(0, x) + 2 * x * ive(1, x))
    return np.asarray(mean)


def rician_mean_inverse(mean: npt.NDArray[np.floating], sigma: float) -> Array:
    """The true amplitude whose Rician mean is `mean`: what a filter's average has to go through.

    Values at or under the background's mean, sigma sqrt(pi/2), give 0.
    """
    amplitudes, means = _table()
    scaled = np.asarray(mean, np.float64) / sigma
    inside = np.interp(scaled, means, amplitudes)
    beyond = scaled - 0.5 / np.maximum(scaled, 1)
    return np.asarray(sigma * np.where(scaled > means[-1], beyond, inside), dtype=np.float32)


@lru_cache(maxsize=1)
def _table() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    # Densest near zero, where the mean rises with the square of the amplitude.
    amplitudes = _FAR * np.linspace(0, 1, _STEPS) ** 2
    return amplitudes, rician_mean(amplitudes, 1.0)
