"""What every stage from the float network to the served INT8 made of the same images.

Drift is mean PSNR(INT8, clean) minus mean PSNR(float control, clean); PSNR(INT8, control) stands
beside it; the total loss is against the unpruned float network. Limits are the gate's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from scanside.benchmarks.quality.figures import edges_of
from scanside.benchmarks.quality.rows import Row, Seen, row_of, see
from scanside.benchmarks.quality.sets import JudgedSet
from scanside.benchmarks.quality.streamed import through_daemon
from scanside.compile.gate import CONTROL, Gate, Verdict, failure
from scanside.compile.variants import engines_of
from scanside.runtime.bundle import CPU_MODEL, MODEL, TRT_MODEL, Bundle
from scanside.runtime.engines import Engine
from scanside.runtime.engines.choose import TENSORRT, available_engines, open_engine
from scanside.runtime.engines.cpu import device_name, usable_threads
from scanside.runtime.errors import (
    BenchmarkError,
    EngineUnavailableError,
    GateError,
    TransportError,
)
from scanside.runtime.progress import task
from scanside.train.heldout import base_image, enhance_cases
from scanside.train.metrics.case import Image
from scanside.train.run import CONTROL as CONTROL_STAGE
from scanside.train.run import FLOAT as FLOAT_STAGE
from scanside.train.run import PRUNED as PRUNED_STAGE
from scanside.train.run import Run
from scanside.train.stages import eager_engine, load_float, load_quantised

MEMBERS = (MODEL, CPU_MODEL, TRT_MODEL)
INPUT, FLOAT, PRUNED = "input", "float", "pruned, fine-tuned"
EAGER = "INT8, eager"
SERVED = "served, "
"""Before the engine's name: through the daemon."""

Images = Mapping[str, Sequence[Image]]


class SetDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One set. data_range, value_unit: what PSNR and SSIM are over, and the unit of biases. rows:
    stage -> level in words -> figures, in the order of the pipeline. verdict: the gate's, of what
    is INT8. over_limit: the gate's limit that is not kept, or empty. astray: daemons whose bits are
    not the engine's in process, or that left a frame as it was, in words.
    """

    name: str
    words: str
    level_unit: str
    data_range: str
    value_unit: str
    rows: dict[str, dict[str, Row]]
    verdict: Verdict
    over_limit: str
    astray: list[str]

    @property
    def levels(self) -> list[str]:
        return list(self.rows[CONTROL])


class DriftReport(msgspec.Struct, frozen=True, kw_only=True):
    """identity: the bundle's."""

    model: str
    identity: str
    machine: str
    threads: int
    date: str
    sets: list[SetDrift]
    notes: list[str]

    def raise_failures(self) -> None:
        """GateError where the gate's limit is not kept on a set, BenchmarkError where a daemon gave
        other pixels than its engine."""
        over = [f"{one.name}: {one.over_limit}" for one in self.sets if one.over_limit]
        if over:
            raise GateError(
                "; ".join(over), next_step="look at the page's worst frames; see docs/drift.md"
            )
        astray = [f"{one.name}: {words}" for one in self.sets for words in one.astray]
        if astray:
            raise BenchmarkError(
                "; ".join(astray), next_step="scanside serve on the same bundle says why in its log"
            )


class Stages(NamedTuple):
    """floats: on eager PyTorch. integers: INT8, eager and every file on every engine. served:
    engines that a daemon runs the bundle on, by name; the value is the stage of `integers` that is
    the same in process. notes: what is not here."""

    floats: dict[str, Engine]
    integers: dict[str, Engine]
    served: dict[str, str]
    notes: list[str]


def stages_of(run: Run, bundle: Bundle) -> Stages:
    """Every stage as an engine. Raises BenchmarkError for a bundle of another run."""
    insist_on_run(run, bundle)
    manifest = bundle.manifest
    floats: dict[str, Engine] = {
        name: eager_engine(load_float(run, stage), manifest)
        for name, stage in ((FLOAT, FLOAT_STAGE), (PRUNED, PRUNED_STAGE), (CONTROL, CONTROL_STAGE))
    }
    integers: dict[str, Engine] = {EAGER: eager_engine(load_quantised(run), manifest)}
    integers |= engines_of(manifest, {name: bundle.member(name) for name in MEMBERS})
    served = {name: f"{CPU_MODEL} on {name}" for name in available_engines()}
    notes = ["TensorRT and Jetson: not verified on hardware"]
    with contextlib.suppress(EngineUnavailableError):
        integers[TENSORRT] = open_engine(bundle, TENSORRT)
        served[TENSORRT] = TENSORRT
        notes = []
    return Stages(floats, integers, served, notes)


def insist_on_run(run: Run, bundle: Bundle) -> None:
    """A float control of other weights would make any drift."""
    config, made = run.config(), bundle.manifest.provenance
    mine = (config.recipe.name, config.recipe.seed, config.data_digest, config.code_version)
    if mine != (made.recipe, made.seed, made.data_digest, made.code_version):
        raise BenchmarkError(
            "the bundle was not compiled from this run",
            next_step="give --run the folder that it was compiled from",
        )


def measure_drift(
    stages: Stages,
    path: Path,
    sets: Sequence[JudgedSet],
    show: Callable[[JudgedSet, SetDrift, Images], None] = lambda *_: None,
) -> DriftReport:
    """Every stage of the bundle at `path` and of its run on every set.

    show: given each set with what every stage made of it, before the images are let go.
    """
    bundle = Bundle.open(path)
    judged = []
    for one in sets:
        found, images = _measure(stages, path, one)
        show(one, found, images)
        judged.append(found)
    return DriftReport(
        model=f"{bundle.manifest.name} {bundle.manifest.version}",
        identity=bundle.identity,
        machine=device_name(),
        threads=usable_threads(),
        date=date.today().isoformat(),
        sets=judged,
        notes=stages.notes,
    )


def _measure(stages: Stages, path: Path, found: JudgedSet) -> tuple[SetDrift, Images]:
    cases = found.cases
    gate = Gate(stages.floats[CONTROL], cases, found.unit)
    verdict, integers = gate.judge(stages.integers)
    others = {name: engine for name, engine in stages.floats.items() if name != CONTROL}
    images: dict[str, Sequence[Image]] = {INPUT: [base_image(case) for case in cases]}
    images |= enhance_cases(others, cases, f"Enhancing {found.name}, float")
    images |= integers
    astray = []
    rows = _rows(images, found)
    for engine, twin in stages.served.items():
        try:
            streamed = through_daemon(path, engine, usable_threads(), cases)
        except (BenchmarkError, TransportError) as error:
            astray.append(f"{SERVED}{engine}: {error.message}")
            continue
        # Equal bits are equal figures; others are measured, so that the loss is seen.
        images[SERVED + engine] = streamed
        if _equal(streamed, images[twin]):
            rows[SERVED + engine] = rows[twin]
        else:
            astray.append(f"{SERVED}{engine}: other bits than the same engine in process")
            rows |= _rows({**images, SERVED + engine: streamed}, found, [SERVED + engine])
    report = SetDrift(
        name=found.name,
        words=found.words,
        level_unit=found.unit,
        data_range=found.data_range,
        value_unit=cases[0].ruler.unit,
        rows=rows,
        verdict=verdict,
        over_limit=failure(verdict),
        astray=astray,
    )
    return report, images


def _rows(
    images: Images, found: JudgedSet, wanted: Sequence[str] = ()
) -> dict[str, dict[str, Row]]:
    """Of the stages `wanted`, by default of all."""
    cases = found.cases
    edges = edges_of(cases)
    names = [name for name in images if not wanted or name in {*wanted, FLOAT, CONTROL}]
    seen: dict[str, list[Seen]] = {}
    with task(f"Measuring {found.name}", len(names)) as progress:
        for name in names:
            seen[name] = see(images[name], cases, edges, images[CONTROL])
            progress.advance(note=name)
    levels = list(dict.fromkeys(case.level for case in cases))

    def at(level: float, name: str) -> list[Seen]:
        return [one for one, case in zip(seen[name], cases, strict=True) if case.level == level]

    return {
        name: {
            f"{level:g}": row_of(at(level, name), at(level, CONTROL), at(level, FLOAT))
            for level in levels
        }
        for name in (wanted or names)
    }


def _equal(one: Sequence[Image], other: Sequence[Image]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
