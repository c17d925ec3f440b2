"""Noise of a digital radiograph: quanta are counted, electronics add their own.

J. Siewerdsen et al., Med. Phys. 24 (1997): the scintillator's light spreads before it is read, so
neighbours share noise; the read-out's noise comes after and is white.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Array = npt.NDArray[np.float32]


def photon_noise(
    signal: Array,
    limit: float,
    quanta: float,
    read_quanta: float,
    blur: float,
    rng: np.random.Generator,
) -> Array:
    """A linear signal (R, C), 0..limit, as `quanta` per pixel at its limit would give it.

    Expected quanta are quanta * signal / limit. read_quanta: deviation of the electronics, in
    quanta. blur: deviation of the scintillator's spread in pixels. It correlates the quantum noise
    and thereby lowers its variance, which is not made up for; the signal itself is an image that a
    scintillator has blurred already, so only the noise is.
    """
    expected = np.maximum(signal, 0) * np.float32(quanta / limit)
    noise = rng.poisson(expected).astype(np.float32) - expected
    if blur > 0:
        noise = gaussian_filter(noise, blur, mode="wrap")
    noise += np.float32(read_quanta) * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.asarray(signal + noise * np.float32(limit / quanta), dtype=np.float32)
