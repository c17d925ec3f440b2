"""How many Python calls the daemon makes for one frame: a figure without noise.

On a machine whose clock tells nothing, one more call in the path of every frame still shows. The
daemon runs in threads of this process, which Python's profiler watches; the client is in another
thread, which it does not. Only calls of functions written in Python count: those of C cost less and
depend on the libraries' builds.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from types import CodeType, FrameType

import msgspec

from scanside import runtime
from scanside.benchmarks.evidence.record import Figure
from scanside.benchmarks.latency import caller
from scanside.benchmarks.latency.frames import Asked, asked_frames
from scanside.benchmarks.latency.grid import IPC, SERVED, SHARED, TCP
from scanside.runtime import Client
from scanside.runtime.bundle import Bundle
from scanside.runtime.daemon.loading import EngineChoice, FileSource
from scanside.runtime.daemon.server import Daemon
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.errors import BenchmarkError

HOME = Path(runtime.__file__).parent
SIDE = 64
FRAMES = 31
WARM_UP = 5
READY_S = 60.0
QUIET_S = 0.02
"""Without a call for so long a daemon is done with a frame, and all its threads sleep."""


class FrameCalls(msgspec.Struct, frozen=True, kw_only=True):
    """For one frame, the median of `FRAMES` sent in lockstep: a tick of the clock falls into few of
    them. parts: of the frame in the middle, by package."""

    transport: str
    calls: int
    parts: dict[str, int]


def count_calls(path: Path, engine: str) -> list[FrameCalls]:
    """A small frame through a daemon of this process, over each transport. The machine's load does
    not matter, the versions of Python and of the libraries do.

    Raises BenchmarkError where the daemon does not get ready.
    """
    bundle = Bundle.open(path)
    opened = open_engine(bundle, engine, 1)
    frames = asked_frames(bundle, opened, SIDE)
    opened.close()
    asked = cycle(frames)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        binds = {
            TCP: "tcp://127.0.0.1:*",
            IPC: f"ipc://{folder}/calls.sock",
            SHARED: f"ipc://{folder}/shared.sock",
        }
        for transport in SERVED:
            with (
                _watched_daemon(path, engine, binds[transport]) as (url, watch),
                Client(url, shared_memory=transport == SHARED) as client,
            ):
                every = [_calls_of_one(client, asked, watch) for _ in range(WARM_UP + FRAMES)]
                if transport == SHARED and client.transport != "shm":
                    continue
            every = sorted(every[WARM_UP:], key=lambda one: sum(one.values()))
            middle = every[FRAMES // 2]
            found.append(
                FrameCalls(transport=transport, calls=sum(middle.values()), parts=_parts(middle))
            )
    return found


class _CallWatch:
    """Counts each thread's calls apart: two threads must not add to one number."""

    def __init__(self) -> None:
        self._by_thread: dict[int, dict[CodeType, int]] = {}

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            mine = self._by_thread.setdefault(threading.get_ident(), {})
            mine[frame.f_code] = mine.get(frame.f_code, 0) + 1

    def counts(self) -> Counter[CodeType]:
        """Of all threads, once none has made a call for `QUIET_S`."""
        before = -1
        while (now := self._total()) != before:
            before = now
            time.sleep(QUIET_S)
        every: Counter[CodeType] = Counter()
        for mine in list(self._by_thread.values()):
            every.update(mine.copy())
        return every

    def _total(self) -> int:
        return sum(sum(list(mine.values())) for mine in list(self._by_thread.values()))


@contextmanager
def _watched_daemon(path: Path, engine: str, bind: str) -> Iterator[tuple[str, _CallWatch]]:
    """The URL of a daemon in threads of this process, each watched from its first call."""
    source = FileSource(path, EngineChoice(engine, 1), allow_unsigned=True)
    ready, watch = threading.Event(), _CallWatch()
    with Daemon(source.first, bind, on_ready=lambda *_: ready.set(), source=source) as daemon:
        thread = threading.Thread(target=daemon.run, name="daemon", daemon=True)
        before = threading.getprofile()
        threading.setprofile(watch)
        try:
            thread.start()
            if not ready.wait(READY_S):
                raise BenchmarkError(
                    "the daemon did not get ready",
                    next_step="run `scanside serve` on the same bundle by hand to see why",
                )
            yield daemon.url, watch
        finally:
            threading.setprofile(before)
            daemon.drain()
            thread.join(READY_S)


def _calls_of_one(client: Client, asked: Iterator[Asked], watch: _CallWatch) -> Counter[CodeType]:
    before = watch.counts()
    caller.call(client, asked, 1)
    return watch.counts() - before


def _parts(found: Counter[CodeType]) -> dict[str, int]:
    """By package, the most first."""
    parts: Counter[str] = Counter()
    for code, calls in found.items():
        parts[_package(code.co_filename)] += calls
    return dict(parts.most_common())


def _package(file: str) -> str:
    """`runtime.daemon` of ours, `numpy` of a library's, `python` of the standard library's."""
    path = Path(file)
    if path.is_relative_to(HOME):
        return ".".join((HOME.name, *path.relative_to(HOME).parts[:-1]))
    for folder in ("site-packages", "dist-packages"):
        if folder in path.parts:
            return path.parts[path.parts.index(folder) + 1].removesuffix(".py")
    return "python"


def call_figures(found: list[FrameCalls], engine: str) -> list[Figure]:
    """For a record: exact, so without rounds."""
    return [
        Figure(
            metric="Python calls a frame",
            unit="calls",
            of={"transport": one.transport, "engine": engine},
            value=float(one.calls),
            better="lower",
        )
        for one in found
    ]
