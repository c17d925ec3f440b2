"""All parts of `bench peers`: measured, shown, judged, kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scanside.benchmarks.evidence.record import HISTORY, Figure, append_record, new_record
from scanside.benchmarks.peers import suite
from scanside.benchmarks.peers.records import (
    engine_figures,
    filter_figures,
    footprint_figures,
    race_figures,
)
from scanside.benchmarks.peers.services import ENGINE
from scanside.benchmarks.peers.tables import (
    engine_table,
    filter_table,
    footprint_lines,
    guard_lines,
    race_table,
)
from scanside.benchmarks.peers.verdicts import engine_verdicts, filter_verdicts, serving_verdicts
from scanside.benchmarks.report import Check
from scanside.benchmarks.serving.suite import pin
from scanside.benchmarks.serving.verdicts import lines
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines.cpu import device_name
from scanside.runtime.errors import NoImagesError

SIDE = 512
ENGINE_ROUNDS = {True: 5, False: 30}
"""By whether the run is short."""
IMAGES = {True: 3, False: 8}
WIDTH = 150
"""Columns of a table that goes into a file; a terminal has its own width."""
MORE = (
    "Our daemon does more for a frame than the peers do: it admits it, holds the result against "
    "the bundle's bounds, keeps statistics of what was removed, and minds deadlines and credit. "
    "The bars are for the whole."
)


@dataclass
class Peers:
    """One run. short: fewer rounds. where: machine, cores, threads and date, in words."""

    short: bool
    threads: int
    where: str
    figures: list[Figure] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    setting: dict[str, str] = field(default_factory=dict)
    console: Console = field(default_factory=Console)

    def __post_init__(self) -> None:
        if not self.console.is_terminal and self.console.width < WIDTH:
            self.console = Console(width=WIDTH)
        self.setting |= {"effort": "short" if self.short else "full", "threads": f"{self.threads}"}

    def serving(self, bundle: Path | None, pytriton: Path | None) -> None:
        effort = suite.SHORT if self.short else suite.FULL
        report = suite.measure_serving_peers(
            bundle, effort, threads=self.threads, pytriton=pytriton
        )
        for race in report.races:
            self._show(race_table(race, report.footprints, self.where))
            self._say(guard_lines(race))
            self.figures += race_figures(race)
        versions = [f"{name} {version}" for name, version in report.versions.items()]
        self._say([*footprint_lines(report.footprints), MORE, ", ".join(versions)])
        self.figures += footprint_figures(report.footprints)
        self.checks += serving_verdicts(report.races)
        self.notes += report.notes
        self.setting |= {"engine": ENGINE, **report.versions}
        self.data.append("a synthetic CT body of 12 bits in uint16")

    def engines(self, bundle: Path, run: Path) -> None:
        from scanside.benchmarks.peers.engines import measure_engines
        from scanside.train.run import Run

        opened = Bundle.open(bundle)
        rows, left_out = measure_engines(
            Run(run),
            opened,
            side=SIDE,
            threads=self.threads,
            rounds=ENGINE_ROUNDS[self.short],
            compile_pruned=not self.short,
        )
        self._show(engine_table(rows, f"{opened.manifest.name}, {SIDE} x {SIDE}, {self.where}"))
        self.figures += engine_figures(rows, SIDE, self.threads)
        self.checks += engine_verdicts(rows)
        self.notes += left_out

    def quality(
        self, bundle: Path, run: Path, images: int | None, data: Sequence[Path] = ()
    ) -> None:
        from scanside.benchmarks.peers.classical import measure_filters
        from scanside.train.run import Run

        most = IMAGES[self.short] if images is None else images
        try:
            found = measure_filters(
                Run(run), Bundle.open(bundle), most=most, threads=self.threads, folders=data
            )
        except NoImagesError as error:
            self.notes.append(f"the quality peers are left out: {error.message}")
            return
        self._show(filter_table(found, self.where))
        self.figures += filter_figures(found)
        self.checks += filter_verdicts(found)
        self.data.append(f"{found.words}, data range {found.data_range}")

    def finish(self, bundle: Path | None, history: Path) -> None:
        """Print the verdicts and what was left out, and add the run to the history."""
        self._say([*lines(self.checks), *self.notes])
        record = new_record(
            "peers",
            self.figures,
            bundle=Bundle.open(bundle) if bundle is not None else None,
            data="; ".join(self.data),
            setting=self.setting,
            notes=[MORE, *self.notes],
        )
        append_record(history, record)

    def _show(self, made: Table) -> None:
        for column in made.columns:
            column.overflow = "fold"
        self.console.print(made)

    def _say(self, found: Sequence[str]) -> None:
        for line in found:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def measure_peers(
    bundle: Path | None,
    run: Path | None,
    *,
    parts: Sequence[str],
    short: bool,
    cores: int,
    threads: int,
    images: int | None,
    data: Sequence[Path],
    pytriton: Path | None,
    history: Path | None,
) -> None:
    """The parts named, each shown as soon as it is there. The servers come first: no thread of
    torch's has begun while they are timed. The parts engines and quality need bundle and run. A
    short run's servers serve the near-identity model alone: a real one takes minutes."""
    pinned = pin(cores)
    where = (
        f"{device_name()}, every process on cores {','.join(map(str, pinned))}, engines on "
        f"{threads} thread{'s' * (threads > 1)}, {date.today().isoformat()}"
    )
    measured = Peers(short=short, threads=threads, where=where)
    if "serving" in parts:
        measured.serving(None if short else bundle, pytriton)
    if bundle is not None and run is not None:
        if "engines" in parts:
            measured.engines(bundle, run)
        if "quality" in parts:
            measured.quality(bundle, run, images, data)
    measured.finish(bundle, history or HISTORY)
