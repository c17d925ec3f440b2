"""Round trips through the daemon and calls in process, in turn, in one run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import numpy as np

from scanside.benchmarks.evidence.paired import Overhead, Times, overhead
from scanside.benchmarks.served import serving
from scanside.benchmarks.serving.frames import FACTS, Frame, answered_frames
from scanside.runtime import Client
from scanside.runtime.bundle import Bundle
from scanside.runtime.curve import new_pair
from scanside.runtime.engines import Engine
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.errors import ScansideError
from scanside.runtime.frame import Pixels
from scanside.runtime.progress import task
from scanside.runtime.wire import Outcome

FLOOR = "in process"
SHARED, IPC, TCP, CURVE = "shm", "ipc", "tcp", "tcp and CURVE"
CALLS = 5
"""Of one contender, one after the other, in a round: a stream of frames finds its own way warm,
and no contender has the caches to itself for longer."""
WARM_UP = 2
"""Rounds that do not count."""

Answer = tuple[Pixels, float]
"""Pixels, and the ms of the call that were spent outside the engine and the guard; NaN for calls
in process."""
Call = Callable[[Pixels], Answer]


class RoundTrips(msgspec.Struct, frozen=True, kw_only=True):
    """Of one model at one size. over: by transport. outside_ms: the p50 of each call's time less
    what the daemon says that its engine and guard took."""

    model: str
    side: int
    floor_p50: float
    floor_p99: float
    over: dict[str, Overhead]
    outside_ms: dict[str, float]
    rounds: int


@contextmanager
def contenders(bundle: Path, engine: str, folder: Path) -> Iterator[dict[str, Call]]:
    """The floor and one client for each transport, three daemons serving `bundle` to them.

    folder: for the ipc socket and the keys. A transport that was not to be had is left out.
    """
    options = ("--engine", engine, "--threads", "1", "--allow-unsigned")
    with ExitStack() as stack:
        opened = open_engine(Bundle.open(bundle), engine, 1)
        stack.callback(opened.close)
        ipc = stack.enter_context(
            serving(bundle, "--bind", f"ipc://{folder}/{bundle.stem}.sock", *options)
        )
        tcp = stack.enter_context(serving(bundle, *options))
        keys = _keys(folder / f"{bundle.stem}.keys")
        locked = stack.enter_context(serving(bundle, "--keys", str(keys), *options))
        clients = {
            SHARED: stack.enter_context(Client(ipc)),
            IPC: stack.enter_context(Client(ipc, shared_memory=False)),
            TCP: stack.enter_context(Client(tcp, shared_memory=False)),
            CURVE: stack.enter_context(Client(locked, shared_memory=False, keys=keys)),
        }
        clients[SHARED].enhance(np.zeros((64, 64), np.uint16), FACTS)
        if clients[SHARED].transport != "shm":
            del clients[SHARED]
        yield {FLOOR: _in_process(opened), **{name: _enhance(c) for name, c in clients.items()}}


def _keys(folder: Path) -> Path:
    """A folder of keys that daemon and client may share."""
    clients = folder / "clients"
    clients.mkdir(mode=0o755, parents=True)
    new_pair(folder / "server")
    new_pair(folder / "client")
    shutil.copy(folder / "client.pub", clients)
    return folder


def measure(calls: Mapping[str, Call], model: str, side: int, rounds: int) -> RoundTrips:
    """Every contender `CALLS` times a round, in a new random order each round.

    Every answer is compared with the call in process, bit by bit. Raises ScansideError for one that
    differs: then no time counts.
    """
    frames = answered_frames(calls[FLOOR], side)
    names = list(calls)
    shape = (len(names), WARM_UP + rounds, CALLS)
    times, outside = np.empty(shape), np.empty(shape)
    rng = np.random.default_rng(0)
    with task(f"{model}, {side} x {side}", WARM_UP + rounds) as progress:
        for round_ in range(WARM_UP + rounds):
            for one in rng.permutation(len(names)):
                for number in range(CALLS):
                    found = _timed(calls[names[one]], frames[number % len(frames)])
                    times[one, round_, number], outside[one, round_, number] = found
            progress.advance()
    taken: dict[str, Times] = dict(zip(names, times[:, WARM_UP:], strict=True))
    apart = dict(zip(names, outside[:, WARM_UP:], strict=True))
    floor = taken.pop(FLOOR)
    return RoundTrips(
        model=model,
        side=side,
        floor_p50=float(np.median(floor)),
        floor_p99=float(np.percentile(floor, 99)),
        over={name: overhead(mine, floor) for name, mine in taken.items()},
        outside_ms={name: float(np.median(apart[name])) for name in taken},
        rounds=rounds,
    )


def _timed(call: Call, frame: Frame) -> tuple[float, float]:
    start = time.perf_counter()
    pixels, outside = call(frame.words)
    taken = (time.perf_counter() - start) * 1000
    if not np.array_equal(pixels, frame.expected):
        raise ScansideError("an answer differs from the engine in process: no time counts")
    return taken, outside


def _in_process(engine: Engine) -> Call:
    def call(words: Pixels) -> Answer:
        return engine.run(words[np.newaxis], [FACTS])[0], float("nan")

    return call


def _enhance(client: Client) -> Call:
    def call(words: Pixels) -> Answer:
        result = client.enhance(words, FACTS)
        if result.outcome is not Outcome.ENHANCED or result.pixels is None:
            raise ScansideError(f"a frame came back {result.outcome.value}: {result.reason}")
        return result.pixels, result.round_trip_ms - result.timings.inference

    return call
