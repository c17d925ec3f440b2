"""Serving: every server that can run here, and our daemon, in one run."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from scanside.benchmarks.evidence.paired import Overhead, overhead
from scanside.benchmarks.peers.callers import Caller
from scanside.benchmarks.peers.footprint import Footprint, footprints, started
from scanside.benchmarks.peers.rounds import Flow, Trips, flows, round_trips
from scanside.benchmarks.peers.server import Server
from scanside.benchmarks.peers.services import ENGINE, FLOOR, OURS, Service, Way, services, versions
from scanside.benchmarks.serving.frames import FACTS, answered_frames
from scanside.benchmarks.serving.identity import write_identity
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.errors import BenchmarkError
from scanside.runtime.frame import Pixels
from scanside.runtime.progress import task

CLIENTS = 4
NEAR_IDENTITY = "near-identity"
PROBE_SIDE = 64
"""Of the frames that a server shows with that it answers at all."""


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """sides: of the frames. rounds: of round trips at the first side; larger frames get fewer.
    flow_rounds, flow_s: of throughput, and the seconds of each contender in one. starts: cold."""

    sides: tuple[int, ...]
    rounds: int
    flow_rounds: int
    flow_s: float
    starts: int


SHORT = Effort(sides=(512,), rounds=20, flow_rounds=5, flow_s=0.5, starts=1)
FULL = Effort(sides=(512, 1024), rounds=150, flow_rounds=20, flow_s=1.0, starts=5)


class Contender(NamedTuple):
    """over: what its round trips add to `floor`, the calls in process in the environment of its
    server."""

    name: str
    peer: str
    trips: Trips
    floor: Trips
    flow: Flow
    over: Overhead


class Race(NamedTuple):
    """All contenders, with one model and one size. alone: frames a second of one caller in process,
    one after the other."""

    model: str
    side: int
    contenders: list[Contender]
    alone: Flow

    def of(self, name: str) -> Contender | None:
        return next((one for one in self.contenders if one.name == name), None)


class Report(NamedTuple):
    races: list[Race]
    footprints: list[Footprint]
    versions: dict[str, str]
    notes: list[str]


def measure_serving_peers(
    bundle: Path | None, effort: Effort, *, threads: int, pytriton: Path | None = None
) -> Report:
    """bundle: a real one, which all serve beside the near-identity one, at the first side. A peer
    that cannot run here is left out, and the notes say why; ours must. Raises BenchmarkError for an
    answer that differs from the engine in process, and for a server that ends meanwhile."""
    found, notes = services(threads, pytriton)
    races = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        near = folder / f"{NEAR_IDENTITY}.scanside"
        write_identity(near)
        for path in (near, bundle):
            if path is None:
                continue
            with _running(found, path, folder, threads, notes) as running:
                for side in effort.sides if path is near else effort.sides[:1]:
                    races.append(_race(running, path, side, effort, threads, folder))
            found = [service for service, _ in running]
        frames = frames_file(near, PROBE_SIDE, threads, folder)
        feet = footprints(found, near, frames, folder, effort.starts)
    return Report(races, feet, _versions(found), notes)


def frames_file(bundle: Path, side: int, threads: int, folder: Path) -> Path:
    """A file of frames and of what the engine in process makes of them, for the clients."""
    engine = open_engine(Bundle.open(bundle), ENGINE, threads)

    def answer(words: Pixels) -> tuple[Pixels, float]:
        return engine.run(words[np.newaxis], [FACTS])[0], 0.0

    frames = answered_frames(answer, side)
    engine.close()
    path = folder / f"{bundle.stem}-{side}.npz"
    np.savez(
        path,
        words=np.stack([one.words for one in frames]),
        expected=np.stack([one.expected for one in frames]),
    )
    return path


Running = list[tuple[Service, Server]]


@contextmanager
def _running(
    found: Sequence[Service], bundle: Path, folder: Path, threads: int, notes: list[str]
) -> Iterator[Running]:
    """The servers of `bundle` that answer a small frame. One that does not is closed, with a
    note."""
    frames = frames_file(bundle, PROBE_SIDE, threads, folder)
    running = []
    with ExitStack() as stack:
        with task("Starting the servers", len(found)) as progress:
            for service in found:
                with ExitStack() as attempt:
                    try:
                        server = attempt.enter_context(started(service, bundle, folder))
                        for way in service.ways:
                            with Caller(service.python, way.client, frames) as probe:
                                probe.connect(way.prefix + server.address, server)
                    except BenchmarkError as error:
                        if service.peer == OURS:
                            raise
                        notes.append(f"{service.peer} is left out: {error.message}")
                    else:
                        running.append((service, server))
                        stack.push(attempt.pop_all())
                progress.advance(note=service.peer)
        yield running


def _race(
    running: Running, bundle: Path, side: int, effort: Effort, threads: int, folder: Path
) -> Race:
    frames = frames_file(bundle, side, threads, folder)
    title = f"{bundle.stem}, {side} x {side}"
    ways = [(service, server, way) for service, server in running for way in service.ways]
    floors = {service.python: _floor_name(service.python) for service, _ in running}
    with ExitStack() as stack:

        def callers(python: str, module: str, count: int) -> list[Caller]:
            return [stack.enter_context(Caller(python, module, frames)) for _ in range(count)]

        alone = {name: callers(python, FLOOR, 1)[0] for python, name in floors.items()}
        groups = {
            way.name: callers(service.python, way.client, CLIENTS) for service, _, way in ways
        }
        with task(f"Connecting, {title}", len(alone) + len(groups)) as progress:
            for caller in alone.values():
                caller.connect(f"{bundle}|{ENGINE}|{threads}")
                progress.advance()
            for _, server, way in ways:
                _connect(groups[way.name], server, way)
                progress.advance()
        rounds = max(4, effort.rounds * effort.sides[0] // side)
        firsts = {name: group[0] for name, group in groups.items()}
        trips = round_trips({**alone, **firsts}, rounds, title)
        here = next(iter(alone))
        together: dict[str, tuple[Sequence[Caller], Server | None]] = {here: ([alone[here]], None)}
        together |= {way.name: (groups[way.name], server) for _, server, way in ways}
        rates = flows(together, effort.flow_rounds, effort.flow_s, title)
    found = []
    for service, _, way in ways:
        mine, floor = trips[way.name], trips[floors[service.python]]
        over = overhead(mine.times, floor.times)
        found.append(Contender(way.name, service.peer, mine, floor, rates[way.name], over))
    return Race(bundle.stem, side, found, rates[here])


def _connect(group: Sequence[Caller], server: Server, way: Way) -> None:
    for caller in group:
        caller.connect(way.prefix + server.address, server)


def _floor_name(python: str) -> str:
    return f"in process, {python}"


def _versions(found: Sequence[Service]) -> dict[str, str]:
    """Of all packages that the servers are made of, each in its environment."""
    known: dict[str, str] = {}
    for service in found:
        names = [one.partition("[")[0] for one in service.packages]
        apart = ["numpy"] if service.python != sys.executable else []
        for name, version in versions(Path(service.python), [*names, *apart]).items():
            known[name if name != "numpy" else f"numpy beside {service.peer}"] = version
    return known
