"""The benchmark's end of a client process."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from scanside.benchmarks.peers.caller import First, Flow, Order, Trips
from scanside.benchmarks.peers.server import READY_S, Server
from scanside.benchmarks.serving.child import end
from scanside.runtime.errors import BenchmarkError

HEAR_S = 120.0
"""A client that says nothing for so long is ended."""
SLICE_S = 2.0
"""A client tries so long before it is asked again: in between, a server that ended is noticed."""
Answer = TypeVar("Answer", First, Flow, Trips)


class Caller:
    """python: of the environment that the client's library is in. module: the client's. frames: a
    file of them and of their answers."""

    def __init__(self, python: str, module: str, frames: Path) -> None:
        self._module = module
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the rest
        self._process = subprocess.Popen(
            [python, "-m", "scanside.benchmarks.peers.caller", module, str(frames)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def connect(self, address: str, server: Server | None = None) -> float:
        """When the first right answer was there, on the monotonic clock. Raises BenchmarkError when
        the server ends, or gives none in `READY_S`."""
        until = time.monotonic() + READY_S
        while True:
            self._say(Order(what="connect", address=address, seconds=SLICE_S))
            found = self._hear(First)
            if found.when is not None:
                return found.when
            if (server is not None and server.over) or time.monotonic() > until:
                said = server.last_words() if server is not None else ""
                raise BenchmarkError(
                    f"no answer of a server for {self._module.rpartition('.')[2]}: {found.error}"
                    + (f"; it said: {said}" if said else "")
                )

    def call(self, calls: int) -> Trips:
        """Make so many calls, one after the other. Raises BenchmarkError for a wrong answer."""
        self._say(Order(what="call", calls=calls))
        found = self._hear(Trips)
        self._check(found.wrong)
        return found

    def _say(self, order: Order) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(order).decode() + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._ended() from error

    def _hear(self, kind: type[Answer]) -> Answer:
        assert self._process.stdout is not None
        # A server that hangs would hang its client: no answer may be waited for without end.
        watchdog = threading.Timer(HEAR_S, self._process.kill)
        watchdog.start()
        line = self._process.stdout.readline()
        watchdog.cancel()
        if not line:
            raise self._ended()
        return msgspec.json.decode(line, type=kind)

    def _check(self, wrong: int) -> None:
        if wrong:
            raise BenchmarkError(
                f"{wrong} answers for {self._module.rpartition('.')[2]} differ from the engine in "
                "process: no time counts"
            )

    def _ended(self) -> BenchmarkError:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        why = lines[-1] if lines else "it said nothing"
        return BenchmarkError(f"a client of the benchmark ended before its time: {why}")

    def close(self) -> None:
        """Its stdin ends, and so does it."""
        end(self._process)
        self._errors.close()

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def together(callers: Sequence[Caller], seconds: float) -> list[Flow]:
    """All of them at once, each one frame after the other. Raises BenchmarkError for a wrong
    answer: then no rate counts."""
    for one in callers:
        one._say(Order(what="flow", seconds=seconds))
    found = [one._hear(Flow) for one in callers]
    for one, flow in zip(callers, found, strict=True):
        one._check(flow.wrong)
    return found
