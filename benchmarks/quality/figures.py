"""What is measured of one method at one level, over the images of a test set."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from scanside.runtime.errors import TrainingError
from scanside.train.heldout import base_image
from scanside.train.metrics.bias import block_bias, mean_bias
from scanside.train.metrics.case import Case, Image
from scanside.train.metrics.dice import dice_before_after, threshold_segmenter
from scanside.train.metrics.gmsd import gmsd
from scanside.train.metrics.nps import noise_power_spectrum
from scanside.train.metrics.quality import quality
from scanside.train.metrics.sharpness import find_edges, mtf50_ratio

BONE_HU = 300.0
ROI = 32


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Means over images; gain and worst_gain in dB over the untouched image; lower gmsd is
    better."""

    images: int
    psnr: float
    gain: float
    worst_gain: float
    ssim: float
    gmsd: float


class Hidden(msgspec.Struct, frozen=True, kw_only=True):
    """What PSNR hides, in CT. mtf50, worst_mtf50: over the clean image's, mean and worst of the
    images that have strong edges enough. bias, worst_bias: size of the mean difference of an image
    in HU, mean and worst. block_bias: rms over 32 x 32 blocks, HU. noise_frequency: mean frequency
    of what noise is left over that of the input's, under 1 is blotchier. dice_before, dice_after:
    of bone (over 300 HU)."""

    mtf50: float
    worst_mtf50: float
    bias: float
    worst_bias: float
    block_bias: float
    noise_frequency: float
    dice_before: float
    dice_after: float


def measure(images: Sequence[Image | None], cases: Sequence[Case]) -> Figures:
    """Of the images that are there; None was left out by a slow method."""
    pairs = [(image, case) for image, case in zip(images, cases, strict=True) if image is not None]
    found = [quality(image, case) for image, case in pairs]
    gains = [
        one.psnr - quality(base_image(case), case).psnr
        for one, (_, case) in zip(found, pairs, strict=True)
    ]
    return Figures(
        images=len(pairs),
        psnr=_mean([one.psnr for one in found]),
        gain=_mean(gains),
        worst_gain=min(gains),
        ssim=_mean([one.ssim for one in found]),
        gmsd=_mean([gmsd(image, case.clean, case.inside, case.ruler) for image, case in pairs]),
    )


def measure_hidden(images: Sequence[Image | None], cases: Sequence[Case]) -> Hidden:
    """Of CT at scale 1; see `measure`."""
    pairs = [(image, case) for image, case in zip(images, cases, strict=True) if image is not None]
    sharp, bias, blocks, frequencies, dice = [], [], [], [], []
    bone = threshold_segmenter(BONE_HU, np.inf)
    for image, case in pairs:
        sharp.append(_sharpness(image, case))
        bias.append(abs(mean_bias(image, case.clean, case.inside)))
        blocks.append(block_bias(image, case.clean, case.inside))
        frequencies.append(_noise_frequency(image, case))
        dice.append(dice_before_after(case.clean, case.degraded, image, bone))
    return Hidden(
        mtf50=float(np.nanmean(sharp)),
        worst_mtf50=float(np.nanmin(sharp)),
        bias=_mean(bias),
        worst_bias=max(bias),
        block_bias=float(np.sqrt(np.nanmean(np.square(blocks)))),
        noise_frequency=float(np.nanmean(frequencies)),
        dice_before=_mean([one.before for one in dice]),
        dice_after=_mean([one.after for one in dice]),
    )


def _sharpness(image: Image, case: Case) -> float:
    """NaN for an image with too few strong edges."""
    try:
        edges = find_edges(case.clean, case.inside)
    except TrainingError:
        return float("nan")
    return mtf50_ratio(image, case.clean, edges)


def _noise_frequency(image: Image, case: Case) -> float:
    """Over blocks of soft tissue; NaN where an image has none."""
    clean = case.clean.astype(np.float64)
    corners = [
        (row, column)
        for row in range(0, clean.shape[0] - ROI + 1, ROI)
        for column in range(0, clean.shape[1] - ROI + 1, ROI)
        if (np.abs(clean[row : row + ROI, column : column + ROI]) < 150).all()
    ]
    if not corners:
        return float("nan")
    means = []
    for one in (image, case.degraded):
        left = one - clean
        rois = np.stack([left[r : r + ROI, c : c + ROI] for r, c in corners])
        means.append(noise_power_spectrum(rois, 1.0).mean_frequency)
    return means[0] / means[1]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
