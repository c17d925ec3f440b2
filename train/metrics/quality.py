"""PSNR and SSIM, with the data range and what counts always explicit.

Both images are clipped alike before they are compared (clipping alone moves a noisy image's PSNR
by half a dB), and only pixels inside the field of view count.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from monai.metrics.regression import compute_ssim_and_cs

from scanside.train.metrics.case import Case, Image, Mask, Ruler


class Quality(NamedTuple):
    """psnr in dB, ssim in 0..1."""

    psnr: float
    ssim: float


def _clipped(image: Image, ruler: Ruler) -> npt.NDArray[np.float64]:
    return np.clip(image.astype(np.float64), ruler.low, ruler.high)


def psnr(image: Image, truth: Image, inside: Mask, ruler: Ruler) -> float:
    """10 log10(range^2 / mean squared error) over `inside`, both clipped alike."""
    error = np.square(_clipped(image, ruler) - _clipped(truth, ruler))[inside].mean()
    return 10 * math.log10(ruler.data_range**2 / error) if error > 0 else math.inf


def ssim(image: Image, truth: Image, inside: Mask, ruler: Ruler) -> float:
    """Mean SSIM over `inside`: Gaussian window of 11 pixels, sigma 1.5, K1 0.01, K2 0.03 (Wang et
    al. 2004), through MONAI. Pixels whose window leaves the image do not count."""
    tensors = [
        torch.from_numpy(_clipped(one, ruler).astype(np.float32))[None, None]
        for one in (image, truth)
    ]
    values, _ = compute_ssim_and_cs(
        *tensors,
        spatial_dims=2,
        kernel_size=[11, 11],
        kernel_sigma=[1.5, 1.5],
        data_range=ruler.data_range,
    )
    valid = inside[5:-5, 5:-5]
    return float(values[0, 0].numpy()[valid].mean())


def quality(image: Image, case: Case) -> Quality:
    """An image, as large as the case's clean one, against it."""
    return Quality(
        psnr(image, case.clean, case.inside, case.ruler),
        ssim(image, case.clean, case.inside, case.ruler),
    )


def mean_quality(figures: list[Quality]) -> Quality:
    """The mean over images of each figure."""
    return Quality(
        float(np.mean([f.psnr for f in figures])), float(np.mean([f.ssim for f in figures]))
    )
