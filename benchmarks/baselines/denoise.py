"""Non-local means, wavelets and BM3D in modality units."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from skimage.restoration import denoise_nl_means, denoise_wavelet

from scanside.train.degradations.rician import rician_mean_inverse

Array = npt.NDArray[np.float32]
Denoiser = Callable[[Array, float], Array]
"""(noisy (R, C) in modality units, strength in the same) -> denoised."""


def nlm(noisy: Array, strength: float) -> Array:
    """Non-local means (Buades et al. 2005): patches of 5, search of 13 pixels; strength is h."""
    return np.asarray(
        denoise_nl_means(noisy, patch_size=5, patch_distance=6, h=strength, fast_mode=True),
        dtype=np.float32,
    )


def wavelets(noisy: Array, strength: float) -> Array:
    """VisuShrink (Donoho and Johnstone 1994), db2; strength is the deviation that noise is taken to
    have. (BayesShrink gains a third of it on CT: correlated noise fools its estimate.)"""
    low, span = float(noisy.min()), max(float(np.ptp(noisy)), 1.0)
    unit = denoise_wavelet(
        (noisy - low) / span, sigma=strength / span, wavelet="db2", method="VisuShrink", mode="soft"
    )
    return np.asarray(unit * span + low, dtype=np.float32)


def bm3d(noisy: Array, strength: float) -> Array:
    """BM3D (Dabov et al. 2007) for white noise of that deviation. The package `bm3d` is for
    non-commercial use, so it is used where a user has installed it and nothing depends on it."""
    import bm3d as package

    low, span = float(noisy.min()), max(float(np.ptp(noisy)), 1.0)
    unit = package.bm3d((noisy - low).astype(np.float64) / span, sigma_psd=strength / span)
    return np.asarray(unit * span + low, dtype=np.float32)


def denoisers() -> dict[str, Denoiser]:
    """Every method that can run here, by name."""
    found: dict[str, Denoiser] = {"non-local means": nlm, "wavelets (VisuShrink)": wavelets}
    if importlib.util.find_spec("bm3d") is not None:
        found["BM3D"] = bm3d
    return found


def with_rician_inverse(method: Denoiser, sigma: float) -> Denoiser:
    """A method for magnitude MR: it averages, so it finds the Rician mean, whose inverse follows.

    Without it a classical filter keeps the noise floor and a network 'wins' trivially.
    """

    def denoise(noisy: Array, strength: float) -> Array:
        return rician_mean_inverse(method(noisy, strength), sigma)

    return denoise
