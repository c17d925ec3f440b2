"""Where an image is judged: the patient, not the air around."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scanside.train.metrics.case import PERCENTILE, Image, Mask

SMOOTH = 2.0  # pixels
SHARE = 0.1


def body(image: Image) -> Mask:
    """(R, C): the patient in an image without a fixed scale (MR).

    The largest connected region over a tenth of the 99th percentile after a Gaussian of 2 pixels,
    its holes filled (sinuses and bone belong to the head). Everything, where there is no region.
    """
    smooth = ndimage.gaussian_filter(image.astype(np.float32), SMOOTH)
    labels, count = ndimage.label(smooth > SHARE * np.percentile(image, PERCENTILE))
    if count == 0:
        return np.ones(image.shape, dtype=np.bool_)
    sizes = np.bincount(labels.ravel())
    filled: Mask = ndimage.binary_fill_holes(labels == 1 + int(np.argmax(sizes[1:])))
    return filled
