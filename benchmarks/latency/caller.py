"""A client in a process of its own, one of several streams at once.

``python -m scanside.benchmarks.latency.caller URL SHARED FOLDER`` says `ready`, then for each line
`CALLS` on stdin sends so many frames one after the other and answers with a line of JSON, ms of
each. FOLDER holds what `write_frames` wrote. Any answer but the expected bits ends it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

import msgspec
import numpy as np

from scanside.benchmarks.latency.frames import Asked
from scanside.benchmarks.serving.child import Child
from scanside.runtime import Client
from scanside.runtime.errors import BenchmarkError
from scanside.runtime.frame import FrameFacts
from scanside.runtime.wire import Outcome

FACTS = "facts.json"


def write_frames(folder: Path, frames: Sequence[Asked]) -> None:
    """For callers in other processes."""
    folder.mkdir()
    (folder / FACTS).write_bytes(msgspec.json.encode(frames[0].facts))
    for number, one in enumerate(frames):
        np.savez(folder / f"{number}.npz", words=one.words, expected=one.expected)


def read_frames(folder: Path) -> list[Asked]:
    facts = msgspec.json.decode((folder / FACTS).read_bytes(), type=FrameFacts)
    found = [np.load(path) for path in sorted(folder.glob("*.npz"))]
    return [Asked(one["words"], facts, one["expected"]) for one in found]


def call(client: Client, frames: Iterator[Asked], calls: int) -> list[float]:
    """ms of each of so many frames.

    Raises BenchmarkError for an answer that differs from the engine in process: then no time
    counts."""
    taken = []
    for one in islice(frames, calls):
        start = time.perf_counter()
        result = client.enhance(one.words, one.facts)
        taken.append((time.perf_counter() - start) * 1000)
        if result.outcome is not Outcome.ENHANCED or result.pixels is None:
            raise BenchmarkError(f"a frame came back {result.outcome.value}: {result.reason}")
        if not np.array_equal(result.pixels, one.expected):
            raise BenchmarkError(
                "an answer differs from the engine in process: no time counts",
                next_step="scanside verify the bundle, and report it with its name and engine",
            )
    return taken


class Caller(Child):
    """The parent's end of one."""

    def __init__(self, url: str, folder: Path, *, shared: bool) -> None:
        super().__init__(url, str(int(shared)), str(folder), module=__name__)

    def go(self, calls: int) -> None:
        """Have it call; `done` tells how long each took."""
        self.say(f"{calls}")

    def done(self) -> list[float]:
        return msgspec.json.decode(self.hear(), type=list[float])


def main(url: str, shared: str, folder: str) -> None:
    frames = cycle(read_frames(Path(folder)))
    with Client(url, shared_memory=bool(int(shared))) as client:
        call(client, frames, 1)
        print("ready", flush=True)  # noqa: T201
        for line in sys.stdin:
            found = call(client, frames, int(line))
            print(msgspec.json.encode(found).decode(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
