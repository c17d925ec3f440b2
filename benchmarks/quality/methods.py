"""Classical methods on a test set: each level with the strength that suits it best."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from scanside.benchmarks.baselines.denoise import Array, Denoiser, denoisers, with_rician_inverse
from scanside.benchmarks.baselines.interpolate import INTERPOLATIONS
from scanside.benchmarks.baselines.search import best_strength
from scanside.benchmarks.quality.sets import JudgedSet
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import StoredRange
from scanside.runtime.progress import task
from scanside.train.metrics.case import Case, Image
from scanside.train.metrics.quality import psnr

TUNING = 2
"""Test images that a strength is searched on: the classical methods may look at the test set."""
SLOW = ("BM3D",)
SLOW_IMAGES = 8
"""Of a larger set a slow method gets so many: `--images 8` compares all methods on the same."""
STRENGTHS = (0.05, 8.0)
"""Searched between these, in deviations of the noise: VisuShrink wants little, BM3D a lot."""


def classical(found: JudgedSet, level: float, scale: int) -> dict[str, list[Image | None]]:
    """Method -> the cases of a level as it leaves them; None for images that a slow one skips."""
    cases = found.at(level)
    if scale == 2:
        return {
            name: [_stored(method(_unpadded(case)), case) for case in cases]
            for name, method in INTERPOLATIONS.items()
        }
    return {
        _named(name, cases[0]): _denoised(name, method, cases)
        for name, method in denoisers().items()
    }


def _unpadded(case: Case) -> Array:
    """The coarse image with its padding filled as the device fills it, or a sinc would ring at the
    edge of the padding and be easily beaten."""
    return FrameMap(case.degraded, case.facts, StoredRange()).unpadded


def _named(name: str, case: Case) -> str:
    return f"{name}, Rician inverse" if case.facts.modality == "MR" else name


def _denoised(name: str, method: Denoiser, cases: Sequence[Case]) -> list[Image | None]:
    chosen = _spread(cases, SLOW_IMAGES) if name in SLOW else list(range(len(cases)))
    results: list[Image | None] = [None] * len(cases)
    with task(f"{name}: searching its strength, then running", len(chosen)) as progress:
        filtered = tuned(name, method, cases)
        for index in chosen:
            results[index] = filtered(cases[index])
            progress.advance()
    return results


def tuned(name: str, method: Denoiser, cases: Sequence[Case]) -> Callable[[Case], Image]:
    """The method at the strength, in deviations of a case's noise, that is best on some of them."""
    tuning = [cases[index] for index in _spread(cases, 1 if name in SLOW else TUNING)]
    sigma = float(np.mean([_sigma(case) for case in tuning]))

    def score(strength: float) -> float:
        return float(
            np.mean(
                [
                    psnr(_run(method, case, strength), case.clean, case.inside, case.ruler)
                    for case in tuning
                ]
            )
        )

    low, high = (factor * sigma for factor in STRENGTHS)
    strength, _ = best_strength(score, low, high, 7 if name in SLOW else 12)
    return lambda case: _run(method, case, strength * _sigma(case) / sigma)


def _sigma(case: Case) -> float:
    """Deviation of a case's noise: MR levels are percent of its own 99th percentile."""
    if case.facts.modality == "MR":
        return case.level / 100 * case.ruler.data_range
    if case.facts.modality == "CT":
        return case.level
    difference = case.degraded.astype(np.float64) - case.clean
    return float(difference[case.inside].std())


def _run(method: Denoiser, case: Case, strength: float) -> Image:
    run: Callable[[Array, float], Array] = method
    if case.facts.modality == "MR":
        run = with_rician_inverse(method, _sigma(case))
    return _stored(run(case.degraded.astype(np.float32), strength), case)


def _stored(values: Array, case: Case) -> Image:
    low, high = case.facts.stored_range
    rounded: Image = np.clip(np.rint(values), low, high).astype(case.clean.dtype)
    return rounded


def _spread(cases: Sequence[Case], count: int) -> list[int]:
    """Indices of `count` cases, evenly spread, without the first and the last."""
    if len(cases) <= count:
        return list(range(len(cases)))
    inner = np.linspace(0, len(cases) - 1, count + 2)[1:-1]
    return sorted({round(float(index)) for index in inner})
