"""A process that works for a benchmark and talks to it in lines."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TypeVar

from scanside.runtime.errors import BenchmarkError

STOP_S = 10.0
Self = TypeVar("Self", bound="Child")


class Child:
    """The parent's end of one. module: that it runs, with `words`. Its stdin ends with the block,
    and so does it."""

    def __init__(self, *words: str, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        """Its next line; of a new one the first, when it is ready. Raises BenchmarkError when it
        has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(
                "a client of the benchmark ended before its time", next_step="its error is above"
            )
        return line

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process)


def end(process: subprocess.Popen[str]) -> None:
    """Close its pipes, at which it ends, or is ended."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):  # it may have ended with words unread
                stream.close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
