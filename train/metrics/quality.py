"""Image quality: PSNR and SSIM with an explicit data range, and what they were measured on.

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

CT_CLIP = (-1024.0, 3071.0)
CT_RANGE = CT_CLIP[1] - CT_CLIP[0]
"""4095 HU: what 12 bits of CT hold."""

Image = npt.NDArray[np.int16]
"""(n, n) HU."""
Mask = npt.NDArray[np.bool_]


class Case(NamedTuple):
    """One evaluation slice: clean and noisy (n, n) int16 HU; inside (n, n) bool; sigma_hu of the
    noise in soft tissue; padding: lowest and highest HU that is padding."""

    clean: npt.NDArray[np.int16]
    noisy: npt.NDArray[np.int16]
    inside: Mask
    sigma_hu: float
    padding: tuple[int, int] | None = None


class Quality(NamedTuple):
    """psnr in dB, ssim in 0..1."""

    psnr: float
    ssim: float


def _clipped(image: Image) -> npt.NDArray[np.float64]:
    return np.clip(image.astype(np.float64), *CT_CLIP)


def psnr(image: Image, truth: Image, inside: Mask, data_range: float = CT_RANGE) -> float:
    """10 log10(range^2 / mean squared error) over `inside`, both clipped to 12 bits of HU."""
    error = np.square(_clipped(image) - _clipped(truth))[inside].mean()
    return 10 * math.log10(data_range**2 / error) if error > 0 else math.inf


def ssim(image: Image, truth: Image, inside: Mask, data_range: float = CT_RANGE) -> float:
    """Mean SSIM over `inside`: Gaussian window of 11 pixels, sigma 1.5, K1 0.01, K2 0.03 (Wang et
    al. 2004), through MONAI. Pixels whose window leaves the image do not count."""
    tensors = [
        torch.from_numpy(_clipped(one).astype(np.float32))[None, None] for one in (image, truth)
    ]
    values, _ = compute_ssim_and_cs(
        *tensors,
        spatial_dims=2,
        kernel_size=[11, 11],
        kernel_sigma=[1.5, 1.5],
        data_range=data_range,
    )
    valid = inside[5:-5, 5:-5]
    return float(values[0, 0].numpy()[valid].mean())


def quality(image: Image, truth: Image, inside: Mask) -> Quality:
    return Quality(psnr(image, truth, inside), ssim(image, truth, inside))


def mean_quality(figures: list[Quality]) -> Quality:
    """The mean over slices of each figure."""
    return Quality(
        float(np.mean([f.psnr for f in figures])), float(np.mean([f.ssim for f in figures]))
    )
