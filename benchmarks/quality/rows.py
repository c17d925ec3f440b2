"""One stage at one level of degradation: what it made of the images, and what it lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from scipy import stats

from scanside.benchmarks.evidence.paired import Estimate
from scanside.train.metrics.bias import mean_bias
from scanside.train.metrics.case import Case, Image
from scanside.train.metrics.quality import psnr, quality
from scanside.train.metrics.sharpness import Edges, mtf50_ratio

DRAWS = 2000
EQUAL_DB = 999.0
"""Said of images that are equal, whose PSNR has no end."""


class Seen(NamedTuple):
    """One image. psnr in dB and ssim against the clean one; to_control: PSNR against what the
    control made of it. sharpness: MTF50 over the clean one's, NaN where no edge lets it be
    measured. bias: mean difference from the clean one, in the set's unit of values."""

    psnr: float
    ssim: float
    to_control: float
    sharpness: float
    bias: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Means over the images of a level.

    drift: PSNR minus the float control's; total: minus that of the unpruned float network, both
    with their 95% interval over images (None for a single one). worst_drift: of the image that
    lost most. mtf50, worst_mtf50: over the clean image's, of the images with edges enough, None
    where there is none. bias: of the mean value, signed; worst_bias: the largest, either way.
    psnrs: image by image.
    """

    images: int
    psnr: float
    ssim: float
    drift: float
    drift_interval: tuple[float, float] | None
    worst_drift: float
    total: float
    total_interval: tuple[float, float] | None
    to_control: float
    mtf50: float | None
    worst_mtf50: float | None
    bias: float
    worst_bias: float
    psnrs: list[float]


def see(
    images: Sequence[Image],
    cases: Sequence[Case],
    edges: Sequence[Edges | None],
    control: Sequence[Image],
) -> list[Seen]:
    """Every image of a stage beside its case, and beside what the control made of that."""
    seen = []
    for image, case, strong, other in zip(images, cases, edges, control, strict=True):
        found = quality(image, case)
        seen.append(
            Seen(
                psnr=found.psnr,
                ssim=found.ssim,
                to_control=psnr(image, other, case.inside, case.ruler),
                sharpness=mtf50_ratio(image, case.clean, strong) if strong else math.nan,
                bias=mean_bias(image, case.clean, case.inside),
            )
        )
    return seen


def row_of(mine: Sequence[Seen], control: Sequence[Seen], whole: Sequence[Seen]) -> Row:
    """mine, control, whole: of the same cases; the stage's, the float control's, and those of the
    unpruned float network."""
    psnrs = [one.psnr for one in mine]
    drifts = [one.psnr - other.psnr for one, other in zip(mine, control, strict=True)]
    losses = [one.psnr - other.psnr for one, other in zip(mine, whole, strict=True)]
    sharp = [one.sharpness for one in mine if not math.isnan(one.sharpness)]
    drift, total = mean_of(drifts), mean_of(losses)
    return Row(
        images=len(mine),
        psnr=float(np.mean(psnrs)),
        ssim=float(np.mean([one.ssim for one in mine])),
        drift=drift.value,
        drift_interval=_interval(drift),
        worst_drift=min(drifts),
        total=total.value,
        total_interval=_interval(total),
        to_control=min(float(np.mean([one.to_control for one in mine])), EQUAL_DB),
        mtf50=float(np.mean(sharp)) if sharp else None,
        worst_mtf50=min(sharp, default=None),
        bias=float(np.mean([one.bias for one in mine])),
        worst_bias=max((one.bias for one in mine), key=abs),
        psnrs=psnrs,
    )


def mean_of(values: Sequence[float]) -> Estimate:
    """Mean over images and its 95% interval: percentile bootstrap over whole images. NaN ends for a
    single one. Slices of one patient are no independent sample: of other patients it says little.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, math.nan, math.nan)
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=DRAWS, method="percentile", rng=np.random.default_rng(0)
    )
    return Estimate(mean, *map(float, found.confidence_interval))


def _interval(found: Estimate) -> tuple[float, float] | None:
    return None if math.isnan(found.low) else (found.low, found.high)
