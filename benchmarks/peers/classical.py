"""Classical filters at their best strength, with their time, beside INT8 pruned on our engines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from scanside.benchmarks.baselines.denoise import denoisers
from scanside.benchmarks.evidence.paired import Times, ratio_of
from scanside.benchmarks.peers.engines import NAMES
from scanside.benchmarks.peers.overheads import blocked, median_of
from scanside.benchmarks.peers.rows import FilterRow, Filters
from scanside.benchmarks.quality.figures import measure
from scanside.benchmarks.quality.methods import tuned
from scanside.benchmarks.quality.sets import JudgedSet, find_set
from scanside.runtime.bundle import CPU_MODEL, Bundle
from scanside.runtime.engines.choose import available_engines, cpu_engine
from scanside.runtime.errors import BenchmarkError
from scanside.runtime.interleave import PAUSE_S
from scanside.runtime.progress import task
from scanside.train.heldout import enhance_case
from scanside.train.metrics.case import Case, Image
from scanside.train.run import Run

SHORT_IMAGES = 3
MIDDLE = 40.0
"""HU: the level at which CT is compared where the recipe holds it out, else its middle one."""


def measure_filters(
    run: Run, bundle: Bundle, *, most: int, threads: int, folders: Sequence[Path] = ()
) -> Filters:
    """Every slice through every method in turn, in a new random order each. most: so many slices,
    evenly spread, 0 for all. threads: of the engines; the filters of scikit-image have one.
    folders: the user's own clean images instead of the held-out series.

    A classical method has its strength searched on some of these very slices, which flatters it;
    the search is not in its time. Raises NoImagesError where the held-out series is not here, and
    BenchmarkError for a model that does not denoise.
    """
    recipe = run.config().recipe
    if recipe.scale != 1:
        raise BenchmarkError(
            f"{recipe.name} enlarges: the classical filters here remove noise",
            next_step="give a run of a denoiser",
        )
    levels = recipe.heldout_levels
    level = MIDDLE if MIDDLE in levels else levels[len(levels) // 2]
    judged = find_set(recipe, [level], folders, most)
    cases = judged.at(level)
    calls: dict[str, Callable[[Case], Image]] = {}
    searched = denoisers()
    with task("Searching the filters' strengths", len(searched)) as progress:
        for name, method in searched.items():
            calls[name] = tuned(name, method, cases)
            progress.advance(note=name)
    ours = {}
    for name in available_engines():
        engine = cpu_engine(bundle.manifest, bundle.member(CPU_MODEL), name, threads)
        ours[f"{NAMES[name]}, INT8, pruned"] = partial(enhance_case, engine)
    times, images = _in_turn({**calls, **ours}, cases)
    figures = measure({name: list(made) for name, made in images.items()}, cases)
    quickest = min(ours, key=lambda name: float(np.median(times[name])))
    rows = {}
    for name, mine in times.items():
        slower = mine / times[quickest]
        rows[name] = FilterRow(
            name=name,
            int8=name in ours,
            ms=median_of(mine),
            psnr=figures[name].psnr,
            gain=figures[name].gain,
            ssim=figures[name].ssim,
            slower=ratio_of(mine, times[quickest]),
            rounds=blocked(slower),
        )
    best = max((rows[name] for name in calls), key=lambda row: row.psnr)
    return _filters(judged, level, list(rows.values()), best, rows[quickest])


def _filters(
    judged: JudgedSet, level: float, rows: list[FilterRow], best: FilterRow, fastest: FilterRow
) -> Filters:
    images = len(judged.slices)
    words, data_range, unit = judged.words, judged.data_range, judged.unit
    return Filters(words, data_range, unit, level, images, rows, best, fastest)


def _in_turn(
    calls: dict[str, Callable[[Case], Image]], cases: list[Case]
) -> tuple[dict[str, Times], dict[str, list[Image]]]:
    """Times, (slices, 1) in ms, and what each made of every slice."""
    names = list(calls)
    times = np.empty((len(names), len(cases), 1))
    images: dict[str, list[Image]] = {name: [] for name in names}
    rng = np.random.default_rng(0)
    for name in names:
        calls[name](cases[0])  # what a first call sets up is not in its time
    with task("Filters and networks, slice by slice", len(cases)) as progress:
        for number, case in enumerate(cases):
            for one in rng.permutation(len(names)):
                time.sleep(PAUSE_S)
                start = time.perf_counter()
                made = calls[names[one]](case)
                times[one, number, 0] = (time.perf_counter() - start) * 1000
                images[names[one]].append(made)
            progress.advance()
    return dict(zip(names, times, strict=True)), images
