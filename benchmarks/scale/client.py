"""A client in a process of its own that connects anew for each block, where it is told to.

``python -m scanside.benchmarks.scale.client`` says `ready`. For each `Order`, a line of JSON, it
connects, sees that it is answered rightly, and says a `Found`; for the line `SECONDS` that follows
it streams frames for so long, disconnects, and says what came of it (`Found` again).
"""

from __future__ import annotations

import gc
import os
import sys
from functools import lru_cache

import msgspec
import numpy as np
from msgspec.structs import replace

from scanside.benchmarks.serving.frames import FACTS, Frame
from scanside.benchmarks.serving.worker import Work, work
from scanside.runtime import Client
from scanside.runtime.errors import ScansideError
from scanside.runtime.results import Result
from scanside.runtime.wire import Outcome


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """cores: to stay on. words, answers: files of frames and of what the engine in process makes of
    them, both (kinds, rows, columns). window: frames on their way at once; 0 for the credit."""

    url: str
    shared: bool
    cores: list[int]
    words: str
    answers: str
    modality: str
    window: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """transport: as the session has it. work: of a block. wrong: whether its last answer differs
    from the engine in process. error: why there is nothing else."""

    transport: str = ""
    work: Work | None = None
    wrong: bool = False
    error: str = ""


@lru_cache(maxsize=1)
def frames(words: str, answers: str) -> list[Frame]:
    """Mapped: sixteen clients hold the pixels in memory once."""
    pairs = zip(np.load(words, mmap_mode="r"), np.load(answers, mmap_mode="r"), strict=True)
    return [Frame(np.asarray(one), np.asarray(other)) for one, other in pairs]


def serve_order(order: Order) -> Found:
    """Everything up to the end of the session; what came of it."""
    # The threads of a session are born with the cores of the thread that makes it.
    os.sched_setaffinity(0, order.cores)
    sent = frames(order.words, order.answers)
    facts = replace(FACTS, modality=order.modality)
    with Client(order.url, shared_memory=order.shared) as client:
        for _ in range(2):  # memory is shared from the second frame of a size on
            first = client.enhance(sent[0].words, facts)
        if first.outcome is not Outcome.ENHANCED:
            return Found(error=f"a frame came back {first.outcome.value}: {first.reason}")
        if _differs(first, sent[0]):
            return Found(wrong=True)
        _say(Found(transport=client.transport))
        last: dict[int, Result] = {}
        seconds = float(sys.stdin.readline())
        pixels = [one.words for one in sent]
        done = work(client, pixels, seconds, order.window or None, last, facts)
        wrong = any(
            one.outcome is Outcome.ENHANCED and _differs(one, sent[number])
            for number, one in last.items()
        )
        return Found(transport=client.transport, work=done, wrong=wrong)


def _differs(result: Result, frame: Frame) -> bool:
    return result.pixels is None or not np.array_equal(result.pixels, frame.expected)


def _say(found: Found) -> None:
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    gc.freeze()
    for line in iter(sys.stdin.readline, ""):
        try:
            found = serve_order(msgspec.json.decode(line, type=Order))
        except ScansideError as error:
            found = Found(error=error.message)
        _say(found)


if __name__ == "__main__":
    main()
