"""What the demo is judged on: slices that no training saw, and every stage's picture of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scanside.benchmarks.tables import StageFigures
from scanside.runtime.engines import Engine
from scanside.train.bank import phantom_slices
from scanside.train.data.folders import read_folders
from scanside.train.heldout import enhance_cases, make_cases, qualities
from scanside.train.metrics.case import Case, Image
from scanside.train.metrics.quality import mean_quality
from scanside.train.recipe import Recipe

REAL_SERIES = "ct_ge_hispeed_dual"
UNSEEN = 4  # a stream of phantoms that neither training nor the gate draws from
SIGMA_HU = 40.0
SEED = 40

Pictures = dict[str, list[Image]]
"""Stage -> the test slices as that stage leaves them."""


class Evaluation(NamedTuple):
    """data: what the cases are, in words. real: whether they come from a scanner."""

    data: str
    real: bool
    cases: list[Case]


def find_cases(recipe: Recipe) -> Evaluation:
    """Real CT from SCANSIDE_DATA with simulated low-dose noise; unseen phantoms where it is not.

    The slice that pydicom carries is trained on, so it is no evidence and not used here.
    """
    folder = Path(os.environ.get("SCANSIDE_DATA", "../shared/data")) / REAL_SERIES
    if folder.is_dir():
        slices = read_folders([folder], ("CT",), recipe.crop).slices
        data = f"{len(slices)} slices of one patient's real head CT (GE HiSpeed Dual)"
    else:
        slices = phantom_slices(recipe, recipe.heldout_phantoms, UNSEEN)
        data = (
            f"{len(slices)} phantoms that training did not see (no {REAL_SERIES} in SCANSIDE_DATA)"
        )
    words = f"{data}, simulated low-dose noise of {SIGMA_HU:g} HU in soft tissue"
    return Evaluation(words, folder.is_dir(), make_cases(recipe, slices, [SIGMA_HU], SEED))


def run_stages(stages: Mapping[str, Engine], cases: Sequence[Case]) -> Pictures:
    """Every case through every stage; "noisy" is the input itself."""
    noisy: list[Image] = [case.degraded for case in cases]
    return {"noisy": noisy, **enhance_cases(stages, cases, "Enhancing the test slices")}


def judge_pictures(pictures: Pictures, cases: Sequence[Case]) -> dict[str, StageFigures]:
    """Mean PSNR and SSIM of every stage, and its gain over the noisy input: mean and worst."""
    found = {name: qualities(images, cases) for name, images in pictures.items()}
    noisy = found["noisy"]
    result = {}
    for name, figures in found.items():
        gains = [one.psnr - base.psnr for one, base in zip(figures, noisy, strict=True)]
        mean = mean_quality(figures)
        result[name] = StageFigures(
            psnr=mean.psnr,
            ssim=mean.ssim,
            gain=float(np.mean(gains)),
            worst_gain=min(gains),
            gains=gains,
        )
    return result
