"""What a server costs beside its round trips: start, memory, installation, lines of user code."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from scanside.benchmarks.peers.callers import Caller
from scanside.benchmarks.peers.server import Server, kept
from scanside.benchmarks.peers.services import ENGINE, HERE, Service
from scanside.benchmarks.peers.usercode import lines_of
from scanside.benchmarks.serving.footprint import MEGABYTE, memory_of
from scanside.runtime.errors import BenchmarkError
from scanside.runtime.progress import task

SETTLED_S = 1.0
IDLE_S = 1.0
SIZE_S = 120.0
BASE = ("scanside", ENGINE)
"""What the engine itself needs, under any server."""


class Memory(NamedTuple):
    """MB of 1e6 bytes, sums over `processes`. RSS counts a page once for each process that has it,
    PSS divides it among them."""

    rss_mb: float
    pss_mb: float
    processes: int


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """Of one peer's server. starts: seconds from the start of its first process to the first right
    answer, files in the page cache. Memory: medians, idle, after that answer and a second. idle_ms:
    processor time in a second without a frame. server_lines, client_lines: of user code.
    added_mb: installed, beside what the engine needs anyway; total_mb: with it."""

    peer: str
    starts: list[float]
    rss_mb: float
    pss_mb: float
    processes: int
    idle_ms: float
    server_lines: int
    client_lines: int
    added_mb: float
    total_mb: float

    @property
    def start(self) -> float:
        return median(self.starts)


def memory(pids: Sequence[int]) -> Memory:
    """Of processes; those that end meanwhile are left out."""
    found = []
    for pid in pids:
        try:
            found.append(memory_of(Path(f"/proc/{pid}/smaps_rollup").read_text()))
        except (OSError, KeyError):  # it ended, or has and nobody has waited for it
            continue
    return Memory(sum(one[0] for one in found), sum(one[1] for one in found), len(found))


def footprints(
    services: Sequence[Service], bundle: Path, frames: Path, folder: Path, times: int
) -> list[Footprint]:
    """One service of each peer, its first, started so often, in turn."""
    chosen: dict[str, Service] = {}
    for service in services:
        chosen.setdefault(service.peer, service)
    starts: dict[str, list[float]] = {peer: [] for peer in chosen}
    idle: dict[str, list[tuple[Memory, float]]] = {peer: [] for peer in chosen}
    with task("Cold starts", times * len(chosen)) as progress:
        for _ in range(times):
            for peer, service in chosen.items():
                with (
                    Caller(service.python, service.ways[0].client, frames) as caller,
                    started(service, bundle, folder) as server,
                ):
                    address = service.ways[0].prefix + server.address
                    starts[peer].append(caller.connect(address, server) - server.started)
                    time.sleep(SETTLED_S)
                    idle[peer].append((memory(server.processes()), _idle_ms(server)))
                progress.advance()
    return [_footprint(one, starts[peer], idle[peer]) for peer, one in chosen.items()]


@contextmanager
def started(service: Service, bundle: Path, folder: Path) -> Iterator[Server]:
    """The service while the block runs; one that says that it is ready has said so."""
    address = service.address(folder)
    with kept(service.command(bundle, address), address, folder) as server:
        if service.says_ready:
            server.wait_ready()
        yield server


def _idle_ms(server: Server) -> float:
    begin, before = time.monotonic(), server.processor_seconds()
    time.sleep(IDLE_S)
    return (server.processor_seconds() - before) * 1000 / (time.monotonic() - begin)


def _footprint(
    service: Service, starts: list[float], idle: list[tuple[Memory, float]]
) -> Footprint:
    base = _installed_mb(service, BASE)
    total = _installed_mb(service, (*BASE, *service.packages))
    lines = {one: lines_of(f"{HERE}.{one}") for one in service.files}
    return Footprint(
        peer=service.peer,
        starts=starts,
        rss_mb=median(one.rss_mb for one, _ in idle),
        pss_mb=median(one.pss_mb for one, _ in idle),
        processes=round(median(one.processes for one, _ in idle)),
        idle_ms=median(ms for _, ms in idle),
        server_lines=sum(count for one, count in lines.items() if one.startswith("servers.")),
        client_lines=sum(count for one, count in lines.items() if one.startswith("clients.")),
        added_mb=total - base,
        total_mb=total,
    )


def _installed_mb(service: Service, packages: Sequence[str]) -> float:
    command = [service.python, "-m", f"{HERE}.installed", *packages]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SIZE_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise BenchmarkError(
            f"the installation of {service.peer} could not be sized: {type(error).__name__}"
        ) from error
    return int(done.stdout) / MEGABYTE
