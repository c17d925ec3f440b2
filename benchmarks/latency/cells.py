"""What stands behind the points of a grid: engines in this process, daemons, clients."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from scanside.benchmarks.latency import caller
from scanside.benchmarks.latency.frames import Asked, asked_frames
from scanside.benchmarks.latency.grid import FLOOR, NETWORK, SERVED, SHARED, TCP, Point
from scanside.benchmarks.latency.rounds import Cell
from scanside.benchmarks.served import serving
from scanside.runtime import Client
from scanside.runtime.bundle import CPU_MODEL, Bundle
from scanside.runtime.engines import Engine
from scanside.runtime.engines.choose import (
    TENSORRT,
    available_engines,
    load_network,
    open_engine,
)
from scanside.runtime.engines.tensorrt.libraries import version as tensorrt_version
from scanside.runtime.errors import BenchmarkError, EngineUnavailableError
from scanside.runtime.frame import Pixels
from scanside.runtime.tiling import Float, Network

CLOSE = 1e-4
"""A frame's residual may depend on its neighbours in a batch by so much of the largest."""
Call = Callable[[int], Sequence[float]]


class Stage:
    """Engines, daemons and clients of a bundle, each opened when it is first asked for. folder: for
    sockets and frames."""

    def __init__(self, path: Path, folder: Path, stack: ExitStack) -> None:
        self._path = path
        self._bundle = Bundle.open(path)
        self._folder = folder
        self._stack = stack
        self._engines: dict[tuple[str, int], Engine] = {}
        self._urls: dict[tuple[str, int, bool], str] = {}
        self._frames: dict[tuple[str, int, int], list[Asked]] = {}
        self.notes: list[str] = []

    def cell(self, point: Point) -> Cell | None:
        """None where it cannot be had; the notes say why."""
        if point.transport == FLOOR:
            call: Call = partial(in_process, self.engine(point), cycle(self.frames(point)))
        elif point.transport == NETWORK:
            if point.engine not in available_engines():
                self.notes.append(f"network calls: left out for {point.engine}, which runs plans")
                return None
            model = self._bundle.member(CPU_MODEL)
            call = network_call(load_network(model, point.engine, point.threads), point)
        else:
            assert point.transport in SERVED
            clients = self._one(point) if point.streams == 1 else self._many(point)
            if clients is None:
                self.notes.append("shm: left out, the daemon shares no memory here")
                return None
            call = clients
        return Cell(point.of, call)

    def engine(self, point: Point) -> Engine:
        key = point.engine, point.threads
        if key not in self._engines:
            self._engines[key] = open_engine(self._bundle, *key)
            self._stack.callback(self._engines[key].close)
        return self._engines[key]

    def frames(self, point: Point) -> list[Asked]:
        key = point.engine, point.threads, point.side
        if key not in self._frames:
            self._frames[key] = asked_frames(self._bundle, self.engine(point), point.side)
        return self._frames[key]

    def _one(self, point: Point) -> Call | None:
        client = self._stack.enter_context(
            Client(self.url(point), shared_memory=point.transport == SHARED)
        )
        frames = cycle(self.frames(point))
        caller.call(client, frames, 1)
        if point.transport == SHARED and client.transport != "shm":
            return None
        return partial(caller.call, client, frames)

    def _many(self, point: Point) -> Call:
        folder = self._folder / f"{point.engine}-{point.threads}-{point.side}"
        if not folder.exists():
            caller.write_frames(folder, self.frames(point))
        shared = point.transport == SHARED
        url = self.url(point)
        callers = [
            self._stack.enter_context(caller.Caller(url, folder, shared=shared))
            for _ in range(point.streams)
        ]
        for one in callers:
            one.hear()
        return partial(together, callers)

    def url(self, point: Point) -> str:
        """Of a daemon on that engine: shm and ipc share one."""
        key = point.engine, point.threads, point.transport == TCP
        if key not in self._urls:
            options = ["--engine", point.engine, "--threads", str(point.threads)]
            options += ["--allow-unsigned"]
            if point.transport != TCP:
                socket = self._folder / f"{point.engine}-{point.threads}.sock"
                options += ["--bind", f"ipc://{socket}"]
            self._urls[key] = self._stack.enter_context(serving(self._path, *options))
        return self._urls[key]


def engines_here() -> tuple[str, ...]:
    """Names, in the order in which `auto` prefers them."""
    found = list(available_engines())
    with suppress(EngineUnavailableError):
        tensorrt_version()
        found.insert(0, TENSORRT)
    return tuple(found)


@contextmanager
def staged(bundle: Path, folder: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(bundle, folder, stack)


def in_process(engine: Engine, frames: Iterator[Asked], calls: int) -> list[float]:
    taken = []
    for one in islice(frames, calls):
        start = time.perf_counter()
        found = engine.run(one.words[np.newaxis], [one.facts])
        taken.append((time.perf_counter() - start) * 1000)
        _same(found[0], one.expected)
    return taken


def _same(found: Pixels, expected: Pixels) -> None:
    if not np.array_equal(found, expected):
        raise BenchmarkError(
            "an engine gave two answers to one frame: no time counts",
            next_step="an engine must be deterministic; name another with --engine",
        )


def network_call(network: Network, point: Point) -> Call:
    """Of the bare network on images in [0, 1]; ms per frame of a batch."""
    shape = (point.batch, 1, point.side, point.side)
    images = np.random.default_rng(0).random(shape, dtype=np.float32)
    expected = network(images)
    _alike(expected, np.concatenate([network(one[np.newaxis]) for one in images]))

    def call(calls: int) -> list[float]:
        taken = []
        for _ in range(calls):
            start = time.perf_counter()
            found = network(images)
            taken.append((time.perf_counter() - start) * 1000 / point.batch)
            _same(found, expected)
        return taken

    return call


def _alike(batch: Float, single: Float) -> None:
    if np.abs(batch - single).max() > CLOSE * max(np.abs(single).max(), 1e-6):
        raise BenchmarkError(
            "a batch gave other residuals than its frames one by one: no time counts",
            next_step="leave --batch out; the daemon sends frames through one by one",
        )


def together(callers: Sequence[caller.Caller], calls: int) -> list[float]:
    """All of them at once."""
    for one in callers:
        one.go(calls)
    return [ms for one in callers for ms in one.done()]
