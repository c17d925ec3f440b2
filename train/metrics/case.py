"""What an enhancement is judged on: a clean image, its degraded twin, a ruler between them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scanside.runtime.frame import FrameFacts

Image = npt.NDArray[Any]
"""(R, C) whole modality values, int16 or uint16."""
Mask = npt.NDArray[np.bool_]

CT_CLIP = (-1024.0, 3071.0)
"""What 12 bits of CT hold: 4095 HU between the ends."""
PERCENTILE = 99.0
"""MR has no unit: an image's own 99th percentile is its data range (noise is given in it too)."""


class Ruler(NamedTuple):
    """Both images are clipped to low..high before they are compared; PSNR and SSIM are over
    data_range. All in modality units, called `unit`."""

    low: float
    high: float
    data_range: float
    unit: str


def ruler(modality: str, clean: Image, limits: tuple[int, int]) -> Ruler:
    """The ruler for a clean image of a modality whose stored values lie within `limits`."""
    if modality == "CT":
        return Ruler(*CT_CLIP, CT_CLIP[1] - CT_CLIP[0], "HU")
    low, high = limits
    if modality == "MR":
        strong = float(np.percentile(clean, PERCENTILE))
        return Ruler(low, high, max(strong, 1.0), "stored")
    return Ruler(low, high, high - low, "stored")


def range_words(modality: str) -> str:
    """The data range in words, for tables."""
    return {
        "CT": f"{CT_CLIP[1] - CT_CLIP[0]:g} HU",
        "MR": f"the clean image's {PERCENTILE:g}th percentile",
    }.get(modality, "the stored range")


class Case(NamedTuple):
    """clean: (R * scale, C * scale) and degraded: (R, C), stored words (slope 1, intercept 0).

    facts: of the degraded image, as a scanner's header would say them. inside: where it counts, as
    large as clean. level: of the degradation, in its own unit (HU, percent, quanta, looks).
    """

    clean: Image
    degraded: Image
    facts: FrameFacts
    inside: Mask
    level: float
    ruler: Ruler
