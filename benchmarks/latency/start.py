"""What an engine costs before and beside its frames: the first answer, and memory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from statistics import median

import msgspec

from scanside.benchmarks.latency import caller
from scanside.benchmarks.latency.frames import Asked, asked_frames
from scanside.benchmarks.served import daemon_of
from scanside.benchmarks.serving.footprint import SETTLED_S, memory_of
from scanside.runtime import Client
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.progress import task

FRAMES = 20
"""After so many a daemon has all the memory that frames of one size take."""


class ColdStart(msgspec.Struct, frozen=True, kw_only=True):
    """Of a daemon on one engine, its files in the page cache. ready_s, answer_s: from the start of
    its process to its `ready` line, and to the first answer to a client that comes then. MB of 1e6
    bytes: idle a second after the first answer, and after `FRAMES` more. All in order of time."""

    engine: str
    side: int
    threads: int
    ready_s: list[float]
    answer_s: list[float]
    idle_rss_mb: list[float]
    idle_pss_mb: list[float]
    rss_mb: list[float]
    pss_mb: list[float]

    @property
    def first_answer(self) -> float:
        return median(self.answer_s)


class _Once(msgspec.Struct):
    ready: float
    answer: float
    idle: tuple[float, float]
    working: tuple[float, float]


def cold_starts(
    path: Path, engines: Sequence[str], *, side: int, threads: int, times: int
) -> list[ColdStart]:
    """Every engine once before any counts, then `times` times each, in turn."""
    bundle = Bundle.open(path)
    asked: dict[str, list[Asked]] = {}
    for name in engines:
        engine = open_engine(bundle, name, threads)
        asked[name] = asked_frames(bundle, engine, side)
        engine.close()
    found: dict[str, list[_Once]] = {name: [] for name in engines}
    with tempfile.TemporaryDirectory() as folder, task("Cold starts", times + 1) as progress:
        for number in range(times + 1):
            for name in engines:
                once = _start(path, name, threads, asked[name], Path(folder))
                if number:
                    found[name].append(once)
            progress.advance()
    return [_cold_start(name, side, threads, every) for name, every in found.items()]


def _start(path: Path, engine: str, threads: int, asked: list[Asked], folder: Path) -> _Once:
    options = ("--engine", engine, "--threads", str(threads), "--allow-unsigned")
    begin = time.perf_counter()
    with (
        daemon_of(path, "--bind", f"ipc://{folder}/start.sock", *options) as served,
        Client(served.url) as client,
    ):
        frames = cycle(asked)
        caller.call(client, frames, 1)
        answered = time.perf_counter() - begin
        time.sleep(SETTLED_S)
        rollup = Path(f"/proc/{served.pid}/smaps_rollup")
        idle = memory_of(rollup.read_text())
        caller.call(client, frames, FRAMES)
        return _Once(served.start_s, answered, idle, memory_of(rollup.read_text()))


def _cold_start(engine: str, side: int, threads: int, every: list[_Once]) -> ColdStart:
    return ColdStart(
        engine=engine,
        side=side,
        threads=threads,
        ready_s=[one.ready for one in every],
        answer_s=[one.answer for one in every],
        idle_rss_mb=[one.idle[0] for one in every],
        idle_pss_mb=[one.idle[1] for one in every],
        rss_mb=[one.working[0] for one in every],
        pss_mb=[one.working[1] for one in every],
    )
