"""A run's networks in every precision that an engine computes here: the points of a sweep."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scanside.benchmarks.pareto.half import load_half
from scanside.compile.export import export_onnx
from scanside.compile.twin import cpu_twin
from scanside.runtime.engines import Engine, EngineSpec
from scanside.runtime.engines.choose import available_engines, cpu_engine
from scanside.runtime.engines.cpu import CpuEngine, device_name
from scanside.runtime.errors import BenchmarkError, EngineUnavailableError
from scanside.runtime.progress import task
from scanside.train.manifest import draft_manifest
from scanside.train.models import fuse_batch_norm
from scanside.train.models.network import Network
from scanside.train.prune import macs
from scanside.train.recipe import Recipe, SRGANShape, SRNetShape
from scanside.train.run import CONTROL, FLOAT, PRUNED, QAT, Run
from scanside.train.stages import load_float, load_quantised

FLOAT32, FP16, INT8 = "float32", "FP16", "INT8"


class Contender(NamedTuple):
    """width: channels at full resolution before pruning. kept: share of the MACs, 0..1; macs: at
    512 x 512. control: name of the float contender that it came from, empty for a float one."""

    name: str
    width: int
    kept: float
    macs: int
    precision: str
    control: str
    engine: Engine


class Contenders(NamedTuple):
    """found: by name. notes: what was left out, and why."""

    found: dict[str, Contender]
    notes: list[str]


def contenders_of(runs: Sequence[tuple[str, Run]], engine: str, threads: int) -> Contenders:
    """Of each run, with what it is called: the unpruned float network, the pruned one, and that in
    FP16 and INT8. A network that several runs share (a sweep's cells of one width) counts once.

    Raises BenchmarkError for runs that cannot be judged on one set, RunFolderError for one that is
    not finished.
    """
    insist_on_one_task([run.config().recipe for _, run in runs])
    found: dict[str, Contender] = {}
    notes: list[str] = []
    names: dict[str, str] = {}
    with task("Exporting the networks", len(runs)) as progress:
        for label, run in runs:
            for one in _Networks(label, run, engine, threads).all(names, notes):
                found[one.name] = one
            progress.advance(note=label)
    return Contenders(found, list(dict.fromkeys(notes)))


def choose_engine(name: str | None) -> str:
    """The named one, or the first in the order of preference; EngineUnavailableError."""
    here = list(available_engines())
    if name is None and here:
        return here[0]
    if name is None or name not in here:
        raise EngineUnavailableError(
            f"{name or 'no engine'} is not installed",
            next_step=f"here are: {', '.join(here) or 'none; pip install scanside[cpu]'}",
        )
    return name


def insist_on_one_task(recipes: Sequence[Recipe]) -> None:
    kinds = {(one.modality, one.task, type(one.degradation).__name__) for one in recipes}
    if len(kinds) > 1:
        raise BenchmarkError(
            f"{' and '.join(dict.fromkeys(one.name for one in recipes))} do different things: no "
            "one set can judge them",
            next_step="sweep one task at a time",
        )


def width_of(recipe: Recipe) -> int:
    shape = recipe.network
    return shape.width if isinstance(shape, SRNetShape | SRGANShape) else shape.widths[0]


class _Networks:
    """The contenders of one run."""

    def __init__(self, label: str, run: Run, engine: str, threads: int) -> None:
        self._label, self._run, self._threads = label, run, threads
        self._recipe = run.config().recipe
        pruned = load_float(run, PRUNED)
        self._draft = draft_manifest(self._recipe, pruned)
        self._left = macs(pruned)
        self._all = macs(load_float(run, FLOAT))
        self._spec = EngineSpec(
            name=engine,
            version=available_engines()[engine],
            device=device_name(),
            threads=threads,
            scale=self._recipe.scale,
        )

    def all(self, names: dict[str, str], notes: list[str]) -> Iterator[Contender]:
        """Those that `names` (digest of checkpoints -> name) does not hold yet; adds them. notes:
        gets what was left out."""
        of = self._digest(FLOAT32, CONTROL)
        for precision, stage, count in (
            (FLOAT32, FLOAT, self._all),
            (FLOAT32, CONTROL, self._left),
            (FP16, CONTROL, self._left),
            (INT8, QAT, self._left),
        ):
            digest = self._digest(precision, stage) + of * (precision != FLOAT32)
            if digest in names:
                continue
            try:
                engine = self._engine(precision, stage)
            except EngineUnavailableError as error:
                notes.append(f"{precision} is left out: {error.message}")
                continue
            name = f"{self._label}, {count / self._all:.0%}, {precision}"
            while name in names.values():
                name += "'"
            names[digest] = name
            yield Contender(
                name=name,
                width=width_of(self._recipe),
                kept=count / self._all,
                macs=count,
                precision=precision,
                control="" if precision == FLOAT32 else names[of],
                engine=engine,
            )

    def _digest(self, precision: str, stage: str) -> str:
        weights = self._run.checkpoint(stage)
        self._run.state(stage)  # says what is wrong with one that is missing or damaged
        return hashlib.sha256(precision.encode() + weights.read_bytes()).hexdigest()

    def _engine(self, precision: str, stage: str) -> Engine:
        """What a bundle would carry of INT8: its uint8 twin."""
        name = self._spec.name
        if precision == INT8:
            model = cpu_twin(export_onnx(load_quantised(self._run), self._draft.multiple_of))
        else:
            model = _onnx(load_float(self._run, stage))
        if precision == FP16:
            return CpuEngine(self._draft, load_half(model, name, self._threads), self._spec)
        return cpu_engine(self._draft, model, name, self._threads)


def _onnx(model: Network) -> bytes:
    fused = fuse_batch_norm(model.eval())
    return export_onnx(fused, fused.multiple_of)
