"""Contrast recovery of inserted low-contrast discs: what PSNR hides.

A disc of known contrast is put into a flat spot of a clean image; the image is degraded with and
without it by the very same noise and enhanced; the difference of both results, averaged over the
disc, over what it was before, is how much of the contrast survived. Pairing takes the noise itself
out; averaging over draws takes out what the network makes of one of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.stats import t

from scanside.runtime.errors import NoImagesError
from scanside.train.metrics.case import Image, Mask

WARN_BELOW = 0.5
"""Under it a model's card warns: lesions of that size and contrast may vanish."""
SOFT_TISSUE_HU = (-20.0, 80.0)
Array = npt.NDArray[np.float32]


class Recovery(NamedTuple):
    """mean: over draws, 1 is all of the contrast. low, high: its 95% confidence interval by
    Student's t."""

    mean: float
    low: float
    high: float
    draws: int


def disc(shape: tuple[int, ...], centre: tuple[int, int], radius: float) -> Array:
    """(R, C): 1 within a disc, 0 outside, its edge one pixel wide."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    distance = np.hypot(y - centre[0], x - centre[1])
    return np.asarray(np.clip(radius + 0.5 - distance, 0, 1), dtype=np.float32)


def choose_centre(
    clean: Image, inside: Mask, radius: int, tissue: tuple[float, float] = SOFT_TISSUE_HU
) -> tuple[int, int]:
    """The flattest spot of soft tissue with room for a disc and as much again around it.

    Raises NoImagesError where no such spot lies within `tissue`.
    """
    values = clean.astype(np.float64)
    room = 2 * radius + 1
    mean = ndimage.uniform_filter(values, room)
    spread = ndimage.uniform_filter(values**2, room) - mean**2
    allowed = ndimage.binary_erosion(inside, iterations=room, border_value=0)
    allowed &= (mean > tissue[0]) & (mean < tissue[1])
    if not allowed.any():
        raise NoImagesError(
            "there is no flat soft tissue for a disc", next_step="take slices of soft tissue"
        )
    row, column = np.unravel_index(np.argmin(np.where(allowed, spread, np.inf)), values.shape)
    return int(row), int(column)


def contrast_recovery(
    enhance: Callable[[Array], Image],
    clean: Array,
    noises: Sequence[Array],
    centre: tuple[int, int],
    radius: float,
    contrast: float,
) -> Recovery:
    """How much of a disc's contrast survives `enhance`, over so many noise fields.

    enhance: degraded (R, C) modality values -> enhanced. clean: (R, C). contrast: of the disc, in
    modality units.
    """
    added = contrast * disc(clean.shape, centre, radius)
    within = disc(clean.shape, centre, radius) >= 0.5
    before = float(added[within].mean())
    shares = []
    for noise in noises:
        noisy = clean + noise
        with_disc, without = (
            enhance(one)[within].astype(np.float64) for one in (noisy + added, noisy)
        )
        shares.append(float((with_disc - without).mean()) / before)
    mean = float(np.mean(shares))
    count = len(shares)
    half = 0.0
    if count > 1:
        half = float(t.ppf(0.975, count - 1) * np.std(shares, ddof=1) / math.sqrt(count))
    return Recovery(mean, mean - half, mean + half, len(shares))
