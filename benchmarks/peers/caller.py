"""A client in a process of its own, in its peer's environment, which calls when it is told to.

``python -m scanside.benchmarks.peers.caller MODULE FRAMES`` takes the client of that module
(`scanside.benchmarks.peers.clients`) and the frames and answers in the file FRAMES; then for each
`Order`, a line of JSON on stdin, it says a line of JSON: `First`, `Trips` or `Flow`. Every answer
is compared, bit by bit; of `Trips` that is not in the times.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import time
from contextlib import ExitStack
from importlib import import_module
from typing import Literal, Protocol

import msgspec
import numpy as np

from scanside.benchmarks.serving.frames import Frame
from scanside.runtime.frame import Pixels

RETRY_S = 0.02
NAN = float("nan")


class Client(Protocol):
    def ask(self, words: Pixels) -> Pixels: ...


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """connect: to `address`, and go on trying for `seconds` until an answer is right. call: `calls`
    one after the other. flow: one after the other for `seconds`."""

    what: Literal["connect", "call", "flow"]
    address: str = ""
    calls: int = 0
    seconds: float = 0.0


class First(msgspec.Struct, frozen=True, kw_only=True):
    """When the first right answer was there, on the monotonic clock; None if none came in time.
    error: of the last attempt."""

    when: float | None
    error: str = ""


class Trips(msgspec.Struct, frozen=True, kw_only=True):
    """ms of each call; inside: what the server says that engine and guard took, or None."""

    times: list[float]
    inside: list[float | None]
    wrong: int


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """processor_s: that this process itself took."""

    frames: int
    seconds: float
    processor_s: float
    wrong: int


class Caller:
    def __init__(self, module: str, frames: list[Frame]) -> None:
        self._connect = import_module(module).connect
        self._frames = frames
        self._stack = ExitStack()
        self._client: Client | None = None

    def obey(self, order: Order) -> First | Trips | Flow:
        if order.what == "connect":
            return self._first(order.address, order.seconds)
        return self._call(order.calls) if order.what == "call" else self._flow(order.seconds)

    def close(self) -> None:
        self._stack.close()

    def _first(self, address: str, seconds: float) -> First:
        until = time.monotonic() + seconds
        while True:
            attempt = ExitStack()
            try:
                client: Client = attempt.enter_context(self._connect(address))
                pixels = client.ask(self._frames[0].words)
                now = time.monotonic()
                if not np.array_equal(pixels, self._frames[0].expected):
                    raise ValueError("an answer differs from the engine in process")
                self._client = client
                self._stack.close()
                self._stack = attempt
                return First(when=now)
            except Exception as error:  # noqa: BLE001 - a server that starts answers with anything
                words = f"{type(error).__name__}: {error}"
                with contextlib.suppress(Exception):  # nor does it matter how it hangs up
                    attempt.close()
            if time.monotonic() >= until:
                return First(when=None, error=words)
            time.sleep(RETRY_S)

    def _call(self, calls: int) -> Trips:
        client, times, inside, wrong = self._connected(), [], [], 0
        for number in range(calls):
            frame = self._frames[number % len(self._frames)]
            start = time.perf_counter()
            pixels = client.ask(frame.words)
            times.append((time.perf_counter() - start) * 1000)
            wrong += not np.array_equal(pixels, frame.expected)
            inside.append(getattr(client, "inference_ms", None))
        return Trips(times=times, inside=inside, wrong=wrong)

    def _flow(self, seconds: float) -> Flow:
        client, count, wrong = self._connected(), 0, 0
        start, used = time.perf_counter(), time.process_time()
        while (taken := time.perf_counter() - start) < seconds:
            frame = self._frames[count % len(self._frames)]
            wrong += not np.array_equal(client.ask(frame.words), frame.expected)
            count += 1
        return Flow(
            frames=count, seconds=taken, processor_s=time.process_time() - used, wrong=wrong
        )

    def _connected(self) -> Client:
        if self._client is None:
            raise ConnectionError("the first order is to connect")
        return self._client


def main(module: str, path: str) -> None:
    with np.load(path) as held:
        frames = [Frame(*pair) for pair in zip(held["words"], held["expected"], strict=True)]
    caller = Caller(module, frames)
    gc.freeze()
    for line in sys.stdin:
        answer = caller.obey(msgspec.json.decode(line, type=Order))
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
        sys.stdout.flush()
    caller.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
