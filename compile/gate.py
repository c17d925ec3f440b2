"""The gate: INT8 against its float control on held-out cases, on every file that will ship.

Drift is mean PSNR(INT8, clean) minus mean PSNR(control, clean). Both go through the device's own
intensity map, so that what is measured is what a scanner would get. A mean hides the one frame that
was spoilt, and PSNR hides structure: the worst case and SSIM have limits of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from scanside.runtime.bundle import MODEL, TRT_MODEL
from scanside.runtime.engines import Engine
from scanside.train.heldout import base_image, enhance_cases, qualities
from scanside.train.metrics.case import Case, Image
from scanside.train.metrics.quality import Quality, mean_quality, psnr

CONTROL = "float control"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What INT8 may lose against its float control.

    mean_db: mean PSNR of the cases of any level. worst_db: PSNR of any case. ssim: mean SSIM.
    half_db: mean PSNR of model.trt.onnx against model.onnx, at any level, either way.
    """

    mean_db: float = 0.1
    worst_db: float = 0.3
    ssim: float = 0.002
    half_db: float = 0.02


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One engine on the held-out cases. Means over cases; PSNR in dB.

    drift: mean PSNR minus the control's. drift_at: the same for the cases of each level of
    degradation. worst_drift: of the case that lost most. to_control: mean PSNR against the
    control's output instead of the clean slice.
    """

    psnr: float
    ssim: float
    drift: float
    drift_at: dict[str, float]
    ssim_drift: float
    worst_drift: float
    to_control: float
    cases: list[float]
    """PSNR case by case."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """base: the degraded image itself, or its cubic interpolation. engines: by name; `CONTROL` is
    the float control. data_range: mean over cases, in `unit`. level_unit: of the degradation."""

    limits: Limits
    data_range: float
    unit: str
    level_unit: str
    base_psnr: float
    base_ssim: float
    engines: dict[str, Figure]


class Gate:
    """Held-out cases, and what the float control makes of them."""

    def __init__(
        self, control: Engine, cases: Sequence[Case], level_unit: str, limits: Limits | None = None
    ) -> None:
        self.cases = cases
        self._unit = level_unit
        self._limits = limits or Limits()
        images = [base_image(case) for case in cases]
        self._untouched = mean_quality(qualities(images, cases))
        self._control = _enhanced(CONTROL, control, cases)

    def judge(self, candidates: Mapping[str, Engine]) -> Judgement:
        """Measure candidates (name -> engine) against the control. Does not refuse: see
        `failure`."""
        found = {CONTROL: self._control} | {
            name: _enhanced(name, engine, self.cases) for name, engine in candidates.items()
        }
        ruler = [case.ruler for case in self.cases]
        verdict = Verdict(
            limits=self._limits,
            data_range=float(np.mean([one.data_range for one in ruler])),
            unit=ruler[0].unit,
            level_unit=self._unit,
            base_psnr=self._untouched.psnr,
            base_ssim=self._untouched.ssim,
            engines={name: self._figure(one) for name, one in found.items()},
        )
        return Judgement(verdict, {name: one.images for name, one in found.items()})

    def _figure(self, found: _Enhanced) -> Figure:
        control = self._control
        mean, base = mean_quality(found.qualities), mean_quality(control.qualities)
        drifts = [
            ours.psnr - theirs.psnr
            for ours, theirs in zip(found.qualities, control.qualities, strict=True)
        ]
        against = [
            psnr(ours, theirs, case.inside, case.ruler)
            for ours, theirs, case in zip(found.images, control.images, self.cases, strict=True)
        ]
        return Figure(
            psnr=mean.psnr,
            ssim=mean.ssim,
            drift=mean.psnr - base.psnr,
            drift_at=_by_level(drifts, self.cases),
            ssim_drift=mean.ssim - base.ssim,
            worst_drift=min(drifts),
            to_control=min(float(np.mean(against)), 999.0),
            cases=[one.psnr for one in found.qualities],
        )


class Judgement(NamedTuple):
    """images: what each engine made of the cases, by the engine's name."""

    verdict: Verdict
    images: Mapping[str, Sequence[Image]]


class _Enhanced(NamedTuple):
    images: list[Image]
    qualities: list[Quality]


def _enhanced(name: str, engine: Engine, cases: Sequence[Case]) -> _Enhanced:
    images = enhance_cases({name: engine}, cases, "Measuring INT8 against float")[name]
    return _Enhanced(images, qualities(images, cases))


def _by_level(drifts: Sequence[float], cases: Sequence[Case]) -> dict[str, float]:
    """Mean drift of the cases of each level."""
    levels: dict[float, list[float]] = {}
    for drift, case in zip(drifts, cases, strict=True):
        levels.setdefault(case.level, []).append(drift)
    return {f"{level:g}": float(np.mean(levels[level])) for level in sorted(levels)}


def failure(verdict: Verdict) -> str:
    """The first limit that is not kept, in words; empty when all are."""
    return next(_failures(verdict), "")


def _failures(verdict: Verdict) -> Iterator[str]:
    """Every comparison is written so that NaN fails it."""
    limits = verdict.limits
    for name, figure in verdict.engines.items():
        lost = f"INT8 on {name} lost"
        for level, drift in figure.drift_at.items():
            if not drift >= -limits.mean_db:
                yield (
                    f"{lost} {-drift:.2f} dB against its float control at {level} "
                    f"{verdict.level_unit}, over the limit of {limits.mean_db} dB"
                )
        if not figure.worst_drift >= -limits.worst_db:
            yield (
                f"{lost} {-figure.worst_drift:.2f} dB against its float control on one case, "
                f"over the limit of {limits.worst_db} dB"
            )
        if not figure.ssim_drift >= -limits.ssim:
            yield f"{lost} {-figure.ssim_drift:.4f} of SSIM, over the limit of {limits.ssim}"
    half, whole = (verdict.engines.get(name) for name in (TRT_MODEL, MODEL))
    if half and whole:
        for level, drift in half.drift_at.items():
            apart = drift - whole.drift_at[level]
            if not abs(apart) <= limits.half_db:
                yield (
                    f"FP16 moved {TRT_MODEL} by {apart:+.3f} dB from {MODEL} at {level} "
                    f"{verdict.level_unit}, over the limit of {limits.half_db} dB"
                )
