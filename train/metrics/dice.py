"""Dice before and after enhancement: whether a segmenter still finds what it found."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from monai.metrics.meandice import compute_dice

from scanside.train.metrics.case import Image, Mask

Segmenter = Callable[[Image], Mask]
"""(R, C) modality values -> (R, C) bool."""


class DicePair(NamedTuple):
    """Of the degraded and of the enhanced image's segmentation, against the clean one's."""

    before: float
    after: float


def threshold_segmenter(low: float, high: float) -> Segmenter:
    """What lies within low..high, in modality units (bone over 300 HU, say)."""
    return lambda image: np.asarray((image >= low) & (image <= high))


def dice(one: Mask, other: Mask) -> float:
    """2 |A and B| / (|A| + |B|) through MONAI; 1 where both are empty."""
    if not one.any() and not other.any():
        return 1.0
    tensors = [torch.from_numpy(mask.astype(np.float32))[None, None] for mask in (one, other)]
    return float(compute_dice(*tensors, ignore_empty=False)[0, 0])


def dice_before_after(
    clean: Image, degraded: Image, enhanced: Image, segmenter: Segmenter
) -> DicePair:
    truth = segmenter(clean)
    return DicePair(dice(segmenter(degraded), truth), dice(segmenter(enhanced), truth))
