"""What is measured of one method at one level, over the images of a test set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

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
from scanside.train.metrics.sharpness import Edges, find_edges, mtf50_ratio

BONE_HU = 300.0
ROI = 32
Methods = Mapping[str, Sequence[Image | None]]
"""What each method made of every case; None was left out by a slow one."""


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
    of bone (over 300 HU). None where no image lets it be measured."""

    mtf50: float | None
    worst_mtf50: float | None
    bias: float
    worst_bias: float
    block_bias: float | None
    noise_frequency: float | None
    dice_before: float
    dice_after: float


def measure(methods: Methods, cases: Sequence[Case]) -> dict[str, Figures]:
    """Of every method, over the images that it made."""
    untouched = [quality(base_image(case), case).psnr for case in cases]
    return {name: _figures(images, cases, untouched) for name, images in methods.items()}


def measure_hidden(methods: Methods, cases: Sequence[Case]) -> dict[str, Hidden]:
    """Of CT at scale 1; see `measure`."""
    edges = edges_of(cases)
    return {name: _hidden(images, cases, edges) for name, images in methods.items()}


def edges_of(cases: Sequence[Case]) -> list[Edges | None]:
    """The strong edges of every case's clean image, found once for all levels of one image; None
    for an image that has too few."""
    found = {id(case.clean): case for case in cases}
    edges = {key: _edges(case) for key, case in found.items()}
    return [edges[id(case.clean)] for case in cases]


def _figures(
    images: Sequence[Image | None], cases: Sequence[Case], untouched: Sequence[float]
) -> Figures:
    made = zip(images, cases, untouched, strict=True)
    pairs = [(image, case, before) for image, case, before in made if image is not None]
    found = [quality(image, case) for image, case, _ in pairs]
    gains = [one.psnr - before for one, (_, _, before) in zip(found, pairs, strict=True)]
    return Figures(
        images=len(pairs),
        psnr=_mean([one.psnr for one in found]),
        gain=_mean(gains),
        worst_gain=min(gains),
        ssim=_mean([one.ssim for one in found]),
        gmsd=_mean([gmsd(image, case.clean, case.inside, case.ruler) for image, case, _ in pairs]),
    )


def _hidden(
    images: Sequence[Image | None], cases: Sequence[Case], edges: Sequence[Edges | None]
) -> Hidden:
    sharp: list[float] = []
    squares: list[float] = []
    frequencies: list[float] = []
    bias, dice = [], []
    bone = threshold_segmenter(BONE_HU, np.inf)
    for image, case, strong in zip(images, cases, edges, strict=True):
        if image is None:
            continue
        if strong:
            sharp.append(mtf50_ratio(image, case.clean, strong))
        bias.append(abs(mean_bias(image, case.clean, case.inside)))
        squares.append(block_bias(image, case.clean, case.inside) ** 2)
        frequencies.append(_noise_frequency(image, case))
        dice.append(dice_before_after(case.clean, case.degraded, image, bone))
    return Hidden(
        mtf50=_mean_of_some(sharp),
        worst_mtf50=min(sharp, default=None),
        bias=_mean(bias),
        worst_bias=max(bias),
        block_bias=None if (mean := _mean_of_some(squares)) is None else math.sqrt(mean),
        noise_frequency=_mean_of_some(frequencies),
        dice_before=_mean([one.before for one in dice]),
        dice_after=_mean([one.after for one in dice]),
    )


def _edges(case: Case) -> Edges | None:
    """None for an image with too few strong edges."""
    try:
        return find_edges(case.clean, case.inside)
    except TrainingError:
        return None


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


def _mean_of_some(values: Sequence[float]) -> float | None:
    """Without those that are NaN."""
    found = [value for value in values if not math.isnan(value)]
    return _mean(found) if found else None
