"""Many clients at once: throughput beside one sequential caller, and one client that is deaf."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import msgspec
import numpy as np
import zmq

from scanside.benchmarks.evidence.paired import Estimate, Times, ratio_of
from scanside.benchmarks.serving.frames import FACTS, ct_frames
from scanside.benchmarks.serving.worker import together, workers
from scanside.runtime import wire
from scanside.runtime.engines import Engine
from scanside.runtime.errors import ScansideError
from scanside.runtime.progress import task

ALONE, ONE, MANY = "in process", "1 client", "4 clients"
CLIENTS = 4
DEAF_EVERY_S = 0.02
"""Between two frames of the client that does not read: 50 frames a second."""


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """Frames per second, medians over rounds; share: of the rate in process, and in each round."""

    side: int
    per_second: dict[str, float]
    share: dict[str, Estimate]
    share_rounds: dict[str, list[float]] = {}


class Deafness(msgspec.Struct, frozen=True, kw_only=True):
    """What others' round trips come to, with and without a client that sends and does not read.
    ms; ratio: of the p99, and in each round."""

    side: int
    p50_without: float
    p50_with: float
    p99_without: float
    p99_with: float
    ratio: Estimate
    frames: int
    ratio_rounds: list[float] = []


def throughput(engine: Engine, url: str, side: int, rounds: int, seconds: float) -> Throughput:
    """Engine.run one frame after the other, 1 and 4 clients with full windows: in turn, in a new
    order each round, each for so many seconds."""
    frames = ct_frames(side)

    def alone() -> float:
        start, count = time.perf_counter(), 0
        while (taken := time.perf_counter() - start) < seconds:
            engine.run(frames[count % len(frames)][np.newaxis], [FACTS])
            count += 1
        return count / taken

    with workers(url, side, CLIENTS) as clients:

        def served(count: int) -> Callable[[], float]:
            def rate() -> float:
                done = together(clients[:count], seconds)
                if any(one.others for one in done):
                    raise ScansideError("a frame was not enhanced: no rate counts")
                return sum(one.frames for one in done) / max(one.seconds for one in done)

            return rate

        contenders = {ALONE: alone, ONE: served(1), MANY: served(CLIENTS)}
        rates = _in_turn(contenders, rounds, f"Throughput, {side} x {side}")
    return Throughput(
        side=side,
        per_second={name: float(np.median(found)) for name, found in rates.items()},
        share={name: ratio_of(rates[name], rates[ALONE]) for name in (ONE, MANY)},
        share_rounds={name: (rates[name] / rates[ALONE]).ravel().tolist() for name in (ONE, MANY)},
    )


def deafness(url: str, side: int, rounds: int, seconds: float) -> Deafness:
    """Two clients send one frame after the other, with and without a third that never reads: in
    turn. The third has a new session each time, and loses it when its results pile up."""
    trips: dict[bool, list[list[float]]] = {False: [], True: []}
    rng = np.random.default_rng(0)
    with workers(url, side, 2, window=1) as clients, task("A deaf client", rounds) as progress:
        together(clients, 1.0)
        for _ in range(rounds):
            for deaf in map(bool, rng.permutation(2)):
                for client in clients:
                    client.go(seconds)
                if deaf:
                    send_deaf(url, side, seconds)
                done = [client.done() for client in clients]
                if any(one.others for one in done):
                    raise ScansideError("a frame was not enhanced: no time counts")
                trips[deaf].append([trip for one in done for trip in one.round_trips])
            progress.advance()
    p99 = {
        deaf: np.array([[np.percentile(one, 99)] for one in found]) for deaf, found in trips.items()
    }
    every = {deaf: np.concatenate(found) for deaf, found in trips.items()}
    return Deafness(
        side=side,
        p50_without=float(np.median(every[False])),
        p50_with=float(np.median(every[True])),
        p99_without=float(np.percentile(every[False], 99)),
        p99_with=float(np.percentile(every[True], 99)),
        ratio=ratio_of(p99[True], p99[False]),
        frames=len(every[True]),
        ratio_rounds=(p99[True] / p99[False]).ravel().tolist(),
    )


def _in_turn(
    contenders: Mapping[str, Callable[[], float]], rounds: int, title: str
) -> dict[str, Times]:
    names = list(contenders)
    found = np.empty((len(names), rounds, 1))
    rng = np.random.default_rng(0)
    with task(title, rounds) as progress:
        for round_ in range(rounds):
            for one in rng.permutation(len(names)):
                found[one, round_] = contenders[names[one]]()
            progress.advance()
    return dict(zip(names, found, strict=True))


def send_deaf(url: str, side: int, seconds: float) -> None:
    """Send frames for so long over a connection that takes in next to nothing."""
    words = ct_frames(side, 1)[0]
    until = time.monotonic() + seconds
    with _deaf_socket(url) as socket:
        socket.send(wire.encode(wire.Hello(versions=wire.VERSIONS)))
        seq = 0
        while time.monotonic() < until:
            frame = wire.Frame(
                stream="deaf",
                seq=seq,
                rows=side,
                columns=side,
                dtype=words.dtype.name,
                facts=FACTS,
            )
            if socket.poll(0, zmq.POLLOUT):
                socket.send(wire.encode(frame), zmq.SNDMORE | zmq.NOBLOCK)
                socket.send(words.data, zmq.NOBLOCK)
            seq += 1
            time.sleep(DEAF_EVERY_S)


@contextmanager
def _deaf_socket(url: str) -> Iterator[zmq.Socket[bytes]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.RCVHWM, 1)  # else ZeroMQ reads on behalf of who does not
    socket.set(zmq.SNDHWM, 4)
    socket.connect(url)
    try:
        yield socket
    finally:
        socket.close()
        context.term()
