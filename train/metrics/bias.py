"""Whether values were moved, not only noise removed: a CT number is a measurement."""

from __future__ import annotations

import numpy as np

from scanside.train.metrics.case import Image, Mask

SIDE = 32


def mean_bias(image: Image, truth: Image, inside: Mask) -> float:
    """Mean difference over `inside`, in modality units."""
    return float((image.astype(np.float64) - truth)[inside].mean())


def block_bias(image: Image, truth: Image, inside: Mask, side: int = SIDE) -> float:
    """Root mean square of the mean difference of blocks of side x side that lie wholly inside.

    In modality units; NaN where no block does. The noise that a block's mean holds counts too.
    """
    difference = image.astype(np.float64) - truth
    rows, columns = (length // side for length in truth.shape)
    shape = (rows, side, columns, side)
    area = np.s_[: rows * side, : columns * side]
    means = difference[area].reshape(shape).mean((1, 3))
    whole = inside[area].reshape(shape).all((1, 3))
    return float(np.sqrt(np.square(means[whole]).mean())) if whole.any() else float("nan")
