"""All of `bench latency` in one run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from scanside.benchmarks.evidence.paired import Estimate, Times, ratio_of
from scanside.benchmarks.latency.cells import staged
from scanside.benchmarks.latency.device import DeviceWatch
from scanside.benchmarks.latency.grid import FLOOR, NETWORK, Grid, Point, points
from scanside.benchmarks.latency.rounds import Cell, in_turn
from scanside.benchmarks.latency.start import ColdStart, cold_starts
from scanside.benchmarks.latency.tails import Tail, in_blocks, interval, tail_of, times_slower
from scanside.runtime.allocator import keep_freed_memory
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines.choose import available_engines


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """rounds of the grid, of `calls` calls each: p99.9 needs 1,000 in all. network_rounds: of the
    networks alone, where float ones are slow. starts: cold ones."""

    rounds: int
    calls: int
    network_rounds: int
    starts: int


SHORT = Effort(rounds=8, calls=3, network_rounds=10, starts=2)
FULL = Effort(rounds=200, calls=5, network_rounds=60, starts=5)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Of one cell. slower: its p50 over the frame's in this process; None of the floor itself, and
    of network calls, which do less. rounds: that ratio in each block."""

    of: dict[str, str]
    tail: Tail
    slower: Estimate | None = None
    rounds: list[float] = []


class NetworkRow(msgspec.Struct, frozen=True, kw_only=True):
    """Of one network alone, or the guard. faster: the median of how many times faster it is than
    each baseline within a round, by the baseline's name; rounds: the same in each block."""

    name: str
    side: int
    threads: int
    tail: Tail
    faster: dict[str, Estimate]
    rounds: dict[str, list[float]]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """power: of a Jetson, in words. notes: what was left out, and why."""

    rows: list[Row]
    networks: list[NetworkRow]
    starts: list[ColdStart]
    power: dict[str, str]
    notes: list[str]


def measure(
    bundle: Path, run: Path | None, grid: Grid, effort: Effort, watch: DeviceWatch
) -> Report:
    """The grid, then the networks alone where torch is here, then cold starts."""
    keep_freed_memory()  # as `scanside serve` does: the floor gets no worse an allocator
    watch.start()
    try:
        rows, notes = _grid(bundle, grid, effort, watch)
        networks = _networks(bundle, run, grid, effort, watch, notes)
        starts = cold_starts(
            bundle,
            grid.engines,
            side=grid.sides[0],
            threads=grid.threads[0],
            times=effort.starts,
        )
    finally:
        watch.stop()
    return Report(rows=rows, networks=networks, starts=starts, power=watch.words(), notes=notes)


def _grid(
    bundle: Path, grid: Grid, effort: Effort, watch: DeviceWatch
) -> tuple[list[Row], list[str]]:
    with tempfile.TemporaryDirectory() as folder, staged(bundle, Path(folder)) as stage:
        cells: dict[Point, Cell] = {}
        for point in points(grid):
            cell = stage.cell(point)
            if cell is not None:
                cells[point] = cell
        title = f"Latency, {len(cells)} cells in turn"
        times = in_turn(
            list(cells.values()), effort.rounds, effort.calls, title, between=watch.during
        )
    found = dict(zip(cells, times, strict=True))
    rows = [_row(point, mine, found[point.floor]) for point, mine in found.items()]
    return rows, list(dict.fromkeys(stage.notes))


def _row(point: Point, mine: Times, floor: Times) -> Row:
    tail = tail_of(mine)
    if point.transport in (FLOOR, NETWORK):
        return Row(of=point.of, tail=tail)
    return Row(
        of=point.of,
        tail=tail,
        slower=interval(times_slower, mine, floor),
        rounds=in_blocks(times_slower, mine, floor),
    )


def _networks(
    bundle: Path,
    run: Path | None,
    grid: Grid,
    effort: Effort,
    watch: DeviceWatch,
    notes: list[str],
) -> list[NetworkRow]:
    engines = [name for name in grid.engines if name in available_engines()]
    if not engines:
        notes.append("networks alone: left out, no engine here runs ONNX files")
        return []
    try:
        from scanside.benchmarks.latency.networks import eager_threads, network_calls
        from scanside.train.run import Run
    except ImportError:
        if run is not None:
            raise
        notes.append("networks alone: left out without torch")
        return []
    opened, trained = Bundle.open(bundle), Run(run) if run is not None else None
    rows = []
    for side in grid.sides:
        for threads in grid.threads:
            with eager_threads(threads):
                calls = network_calls(opened, trained, side=side, threads=threads, engines=engines)
                cells = [Cell({"network": name}, _timed(call)) for name, call in calls.items()]
                title = f"Networks, {side} x {side}, {threads} threads"
                times = in_turn(cells, effort.network_rounds, 1, title, between=watch.during)
            found = dict(zip(calls, times, strict=True))
            rows += [_network_row(name, side, threads, found) for name in found]
    return rows


def _timed(call: Callable[[], object]) -> Callable[[int], list[float]]:
    def timed(calls: int) -> list[float]:
        taken = []
        for _ in range(calls):
            start = time.perf_counter()
            call()
            taken.append((time.perf_counter() - start) * 1000)
        return taken

    return timed


def _network_row(name: str, side: int, threads: int, found: dict[str, Times]) -> NetworkRow:
    from scanside.benchmarks.latency.networks import BASELINE, DEFAULT_LAYOUT

    mine = found[name]
    bases = [base for base in (BASELINE, DEFAULT_LAYOUT) if base in found] or [next(iter(found))]
    return NetworkRow(
        name=name,
        side=side,
        threads=threads,
        tail=tail_of(mine),
        faster={base: ratio_of(found[base], mine) for base in bases},
        rounds={base: in_blocks(times_slower, found[base], mine) for base in bases},
    )
