"""Gradient magnitude similarity deviation: how unevenly edges were kept.

W. Xue, L. Zhang, X. Mou and A. Bovik, IEEE Trans. Image Process. 23 (2014). Lower is better; an
invented texture costs it where PSNR hardly notices.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scanside.train.metrics.case import Image, Mask, Ruler

C = 170 / 255**2
"""The paper's 170 for images of 0..255, on a scale of 0..1."""
PREWITT = np.array([[1, 0, -1]] * 3) / 3


def gmsd(image: Image, truth: Image, inside: Mask, ruler: Ruler) -> float:
    """Standard deviation over `inside` of the gradients' similarity, at full resolution.

    (The paper halves the images first, for a viewer's distance; a radiologist zooms in.)
    """
    first, second = (_gradient(one, ruler) for one in (image, truth))
    similarity = (2 * first * second + C) / (first**2 + second**2 + C)
    return float(similarity[inside].std())


def _gradient(image: Image, ruler: Ruler) -> npt.NDArray[np.float64]:
    unit = np.clip(image.astype(np.float64), ruler.low, ruler.high) / ruler.data_range
    across, down = ndimage.convolve(unit, PREWITT), ndimage.convolve(unit, PREWITT.T)
    return np.asarray(np.hypot(across, down))
