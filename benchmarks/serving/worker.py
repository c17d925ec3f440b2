"""A client in a process of its own, which works when it is told to.

``python -m scanside.benchmarks.serving.worker URL SIDE WINDOW`` says `ready`, then for each line
`SECONDS` on stdin streams frames for so long and answers with a line of JSON (`Work`). WINDOW 1 is
one frame after the other; 0 is as many as the daemon's credit allows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import msgspec

from scanside.benchmarks.serving.child import Child
from scanside.benchmarks.serving.frames import FACTS, ct_frames
from scanside.runtime import Client
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.results import Result
from scanside.runtime.wire import Outcome


class Work(msgspec.Struct, frozen=True):
    """frames: enhanced ones. others: of any other outcome. round_trips: in ms. processor_s: that
    this client took. inference_s: that the daemon says its engine and guard took for these
    frames."""

    frames: int
    others: int
    seconds: float
    round_trips: list[float]
    processor_s: float = 0.0
    inference_s: float = 0.0


def work(
    client: Client,
    frames: Sequence[Pixels],
    seconds: float,
    window: int | None,
    last: dict[int, Result] | None = None,
    facts: FrameFacts = FACTS,
) -> Work:
    """Stream `frames` in turn for so long, and wait for the last result. last: is given the last
    result under the number of its frame, to be looked at when nothing is timed any more."""
    start, used = time.perf_counter(), time.process_time()

    def supply() -> Iterator[tuple[Pixels, FrameFacts]]:
        number = 0
        while time.perf_counter() - start < seconds:
            yield frames[number % len(frames)], facts
            number += 1

    times: list[float] = []
    others, inference = 0, 0.0
    for result in client.stream(supply(), window=window):
        if last is not None:
            last.clear()  # held longer, results would keep their places in shared memory
            last[len(times) % len(frames)] = result
        times.append(result.round_trip_ms)
        inference += result.timings.inference
        others += result.outcome is not Outcome.ENHANCED
    taken, used = time.perf_counter() - start, time.process_time() - used
    return Work(len(times) - others, others, taken, times, used, inference / 1000)


@contextmanager
def workers(url: str, side: int, count: int, window: int = 0) -> Iterator[list[Worker]]:
    """So many clients, each in a process of its own and connected."""
    with ExitStack() as stack:
        started = [stack.enter_context(Worker(url, side, window)) for _ in range(count)]
        for worker in started:
            worker.hear()
        yield started


class Worker(Child):
    """The parent's end of one."""

    def __init__(self, url: str, side: int, window: int) -> None:
        super().__init__(url, str(side), str(window), module=__name__)

    def go(self, seconds: float) -> None:
        """Have it work; `done` tells what came of it."""
        self.say(f"{seconds}")

    def done(self) -> Work:
        return msgspec.json.decode(self.hear(), type=Work)


def together(clients: list[Worker], seconds: float) -> list[Work]:
    """All of them at once."""
    for client in clients:
        client.go(seconds)
    return [client.done() for client in clients]


def main(url: str, side: str, window: str) -> None:
    frames = ct_frames(int(side))
    with Client(url) as client:
        client.enhance(frames[0], FACTS)
        print("ready", flush=True)  # noqa: T201
        for line in sys.stdin:
            found = work(client, frames, float(line), int(window) or None)
            print(msgspec.json.encode(found).decode(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
