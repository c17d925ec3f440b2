"""The gate: INT8 against its float control on held-out cases, on every file that will ship.

Drift is mean PSNR(INT8, clean) minus mean PSNR(control, clean). Both go through the device's own
intensity map, so that what is measured is what a scanner would get.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from scanside.runtime.engines import Engine
from scanside.runtime.errors import GateError
from scanside.train.heldout import base_image, enhance_cases, qualities
from scanside.train.metrics.case import Case
from scanside.train.metrics.quality import mean_quality, psnr

DRIFT_LIMIT_DB = 0.1
CONTROL = "float control"


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

    limit_db: float
    data_range: float
    unit: str
    level_unit: str
    base_psnr: float
    base_ssim: float
    engines: dict[str, Figure]


def judge(
    control: Engine, candidates: Mapping[str, Engine], cases: Sequence[Case], level_unit: str
) -> Verdict:
    """Measure candidates (name -> engine) against the control. Does not refuse: see `insist`."""
    untouched = mean_quality(qualities([base_image(case) for case in cases], cases))
    engines = {CONTROL: control, **candidates}
    images = enhance_cases(engines, cases, "Measuring INT8 against float")
    measured = {name: qualities(results, cases) for name, results in images.items()}
    reference = measured[CONTROL]
    base = mean_quality(reference)
    figures = {}
    for name, found in measured.items():
        mean = mean_quality(found)
        drifts = [ours.psnr - theirs.psnr for ours, theirs in zip(found, reference, strict=True)]
        against = [
            psnr(ours, theirs, case.inside, case.ruler)
            for ours, theirs, case in zip(images[name], images[CONTROL], cases, strict=True)
        ]
        figures[name] = Figure(
            psnr=mean.psnr,
            ssim=mean.ssim,
            drift=mean.psnr - base.psnr,
            drift_at=_by_level(drifts, cases),
            ssim_drift=mean.ssim - base.ssim,
            worst_drift=min(drifts),
            to_control=min(float(np.mean(against)), 999.0),
            cases=[one.psnr for one in found],
        )
    return Verdict(
        limit_db=DRIFT_LIMIT_DB,
        data_range=float(np.mean([case.ruler.data_range for case in cases])),
        unit=cases[0].ruler.unit,
        level_unit=level_unit,
        base_psnr=untouched.psnr,
        base_ssim=untouched.ssim,
        engines=figures,
    )


def _by_level(drifts: Sequence[float], cases: Sequence[Case]) -> dict[str, float]:
    """Mean drift of the cases of each level."""
    levels: dict[float, list[float]] = {}
    for drift, case in zip(drifts, cases, strict=True):
        levels.setdefault(case.level, []).append(drift)
    return {f"{level:g}": float(np.mean(levels[level])) for level in sorted(levels)}


def insist(verdict: Verdict) -> None:
    """Raise GateError naming the file that lost more than the limit at any level, or pass."""
    for name, figure in verdict.engines.items():
        for level, drift in figure.drift_at.items():
            if name != CONTROL and not drift >= -verdict.limit_db:  # so that NaN fails
                raise GateError(
                    f"INT8 on {name} lost {-drift:.2f} dB against its float control at {level} "
                    f"{verdict.level_unit}, over the limit of {verdict.limit_db} dB: "
                    "no bundle is written",
                    next_step="train longer (--steps), raise qat_fraction or lower qat_rate in the "
                    "recipe, or prune less (mac_budget)",
                )
