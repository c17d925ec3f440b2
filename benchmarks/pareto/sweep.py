"""Every contender judged on one set and timed in one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from operator import attrgetter

import msgspec
import numpy as np

from scanside.benchmarks.evidence.paired import Estimate, Times, ratio_of
from scanside.benchmarks.pareto.contenders import FLOAT32, Contender, Contenders
from scanside.benchmarks.pareto.front import pareto_front
from scanside.benchmarks.pareto.timing import time_in_turn
from scanside.benchmarks.quality.sets import JudgedSet
from scanside.compile.gate import Limits
from scanside.runtime.engines import Engine
from scanside.runtime.engines.cpu import device_name
from scanside.runtime.frame import Pixels
from scanside.train.heldout import base_image, enhance_cases, qualities
from scanside.train.metrics.case import Case, Image


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A network in a precision.

    psnr, ssim: by level in words, mean over the images; mean_psnr: over all levels. drift: by
    level, PSNR minus its float control's, empty for a float one. over_limit: whether the gate
    refuses that drift. p50, p90: ms of a whole frame, intensity map included. times: how many times
    faster than the baseline, with its 95% interval. rounds: ms, in order of time. front: whether no
    other point is as good and faster, or better and as fast.
    """

    name: str
    width: int
    kept: float
    macs: int
    precision: str
    psnr: dict[str, float]
    ssim: dict[str, float]
    mean_psnr: float
    drift: dict[str, float]
    over_limit: bool
    p50: float
    p90: float
    times: Estimate
    rounds: list[float]
    front: bool


class SweepReport(msgspec.Struct, frozen=True, kw_only=True):
    """points: fastest first. untouched: mean PSNR of the degraded images. baseline: the point that
    times are over. frame: rows x columns of the timed frame."""

    title: str
    set: str
    data_range: str
    level_unit: str
    levels: list[str]
    untouched: float
    engine: str
    threads: int
    frame: str
    rounds: int
    baseline: str
    machine: str
    date: str
    points: list[Point]
    notes: list[str]


def sweep(
    contenders: Contenders, found: JudgedSet, *, title: str, rounds: int, notes: list[str]
) -> SweepReport:
    """The baseline is the float network that has most MACs. notes: to say beside the
    contenders' own."""
    cases, ones = found.cases, contenders.found
    engines = {name: one.engine for name, one in ones.items()}
    images = enhance_cases(engines, cases, "Judging on the held-out set")
    first = cases[0]
    times = time_in_turn({name: _call(one, first) for name, one in engines.items()}, rounds)
    baseline = max(
        (one for one in ones.values() if one.precision == FLOAT32), key=attrgetter("macs")
    )
    points = [_point(one, images, found, times, baseline.name) for one in ones.values()]
    fronts = pareto_front([one.p50 for one in points], [one.mean_psnr for one in points])
    judged = [
        msgspec.structs.replace(one, front=front) for one, front in zip(points, fronts, strict=True)
    ]
    spec = next(iter(engines.values())).spec
    rows, columns = first.degraded.shape
    untouched = qualities([base_image(case) for case in cases], cases)
    return SweepReport(
        title=title,
        set=found.words,
        data_range=found.data_range,
        level_unit=found.unit,
        levels=list(points[0].psnr),
        untouched=float(np.mean([one.psnr for one in untouched])),
        engine=f"{spec.name} {spec.version.split('-')[0]}",
        threads=spec.threads,
        frame=f"{rows} x {columns}",
        rounds=rounds,
        baseline=baseline.name,
        machine=device_name(),
        date=date.today().isoformat(),
        points=sorted(judged, key=lambda one: one.p50),
        notes=[*notes, *contenders.notes],
    )


def _call(engine: Engine, case: Case) -> Callable[[], Pixels]:
    return partial(engine.run, case.degraded[None], [case.facts])


def _point(
    one: Contender,
    images: Mapping[str, list[Image]],
    found: JudgedSet,
    times: Mapping[str, Times],
    baseline: str,
) -> Point:
    mine = qualities(images[one.name], found.cases)
    psnrs = _by_level([each.psnr for each in mine], found)
    drift: dict[str, float] = {}
    if one.control:
        control = _by_level(
            [each.psnr for each in qualities(images[one.control], found.cases)], found
        )
        drift = {level: value - control[level] for level, value in psnrs.items()}
    p50, p90 = np.percentile(times[one.name], [50, 90])
    return Point(
        name=one.name,
        width=one.width,
        kept=one.kept,
        macs=one.macs,
        precision=one.precision,
        psnr=psnrs,
        ssim=_by_level([each.ssim for each in mine], found),
        mean_psnr=float(np.mean([each.psnr for each in mine])),
        drift=drift,
        over_limit=any(not value >= -Limits().mean_db for value in drift.values()),
        p50=float(p50),
        p90=float(p90),
        times=ratio_of(times[baseline], times[one.name]),
        rounds=times[one.name].ravel().tolist(),
        front=False,
    )


def _by_level(values: list[float], found: JudgedSet) -> dict[str, float]:
    levels: dict[str, list[float]] = {}
    for value, case in zip(values, found.cases, strict=True):
        levels.setdefault(f"{case.level:g}", []).append(value)
    return {level: float(np.mean(some)) for level, some in levels.items()}
