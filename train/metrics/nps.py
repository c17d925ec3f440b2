"""Noise power spectrum: what kind of noise is left, coarse or fine.

J. Siewerdsen, I. Cunningham and D. Jaffray, Med. Phys. 29 (2002); ICRU Report 87.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Line = npt.NDArray[np.float64]


class Spectrum(NamedTuple):
    """frequency: cycles per mm. power: modality units squared times mm^2, averaged over rings."""

    frequency: Line
    power: Line

    @property
    def mean_frequency(self) -> float:
        """Where the noise lies on average, cycles per mm: lower is blotchier."""
        weight = self.power * self.frequency  # a ring's area grows with its radius
        return float((weight * self.frequency).sum() / weight.sum())


def noise_power(rois: npt.NDArray[np.floating], pixel_mm: float) -> Line:
    """(n, n) spectrum of noise-only regions (N, n, n); its integral over frequency is the variance.

    The mean of every region is taken out.
    """
    n = rois.shape[-1]
    detrended = rois - rois.mean((1, 2), keepdims=True)
    power: Line = (np.abs(np.fft.fft2(detrended)) ** 2).mean(0) * (pixel_mm / n) ** 2
    return power


def noise_power_spectrum(rois: npt.NDArray[np.floating], pixel_mm: float) -> Spectrum:
    """The radial average of `noise_power`, up to Nyquist, in rings one line wide."""
    n = rois.shape[-1]
    power = noise_power(rois, pixel_mm)
    frequency = np.fft.fftfreq(n, pixel_mm)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    ring = np.rint(radius * n * pixel_mm).astype(int)
    rings = np.arange(1, n // 2 + 1)
    means = [power[ring == one].mean() for one in rings]
    return Spectrum(rings / (n * pixel_mm), np.array(means))
