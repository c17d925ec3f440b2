"""A daemon that lies, against the client library: every lie is found, or does no harm.

Each frame must end in one result or in a typed error, in time; pixels that are told to be enhanced
must be the very ones that the daemon sent for that frame, of the right size and type.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import zmq

from attacks.answers import Liar
from daemons import FACTS, WELCOME, frame, result_for
from scanside.runtime import Client, Result
from scanside.runtime.errors import ScansideError, TransportError
from scanside.runtime.frame import Pixels

TIMEOUT_S = 0.05
FRAME_LIMIT_S = 5.0
"""Far more than the client's patience: longer is a hang."""
BYTES = 768


def fuzz_client(seed: int, frames: int) -> Counter[str]:
    """Stream frames to a liar; what became of them. AssertionError for what may not be."""
    seen: Counter[str] = Counter()
    liar = Liar(seed)
    with _lying(liar) as url:
        number = 0
        while number < frames:
            began = time.monotonic()
            try:
                with Client(url, timeout=TIMEOUT_S, shared_memory=False) as client:
                    while number < frames:
                        began = time.monotonic()
                        number += 1
                        pixels = frame(number % 16)
                        seen[_check(client.enhance(pixels, FACTS), pixels)] += 1
                        assert time.monotonic() - began < FRAME_LIMIT_S, "the client hung"
            except TransportError as error:
                seen[type(error).__name__] += 1
            except ScansideError as error:  # what a caller does not expect of a sound frame
                raise AssertionError(f"{type(error).__name__} for a sound frame") from error
            assert time.monotonic() - began < FRAME_LIMIT_S, "the client hung"
    assert liar.lies
    return seen


def _check(result: Result, pixels: Pixels) -> str:
    word = result.outcome.value
    if word == "refused":
        assert result.pixels is None
        return word
    assert result.pixels is not None
    assert result.pixels.dtype == pixels.dtype
    rows, columns = pixels.shape
    if word == "enhanced":
        assert result.pixels.shape == (rows * result.scale, columns * result.scale)
        if result.scale == 1:  # the liar lies about sizes; what fits is what it was sent
            np.testing.assert_array_equal(result.pixels, pixels)
        return word
    assert result.pixels.shape == pixels.shape
    if word == "unanswered":
        np.testing.assert_array_equal(result.pixels, pixels)
    return word


@contextmanager
def _lying(liar: Liar) -> Iterator[str]:
    """Like `daemons.pretender`, but it says bytes, whatever they mean."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.set(zmq.LINGER, 0)
    router.bind("tcp://127.0.0.1:*")
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            if not router.poll(20):
                continue
            peer, *parts = router.recv_multipart()
            for answer in liar.answers(_proper(*parts)):
                router.send_multipart([peer, *answer])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield router.get_string(zmq.LAST_ENDPOINT)
    finally:
        stop.set()
        thread.join()
        router.close()
        context.term()


def _proper(
    header: bytes, pixels: bytes | None = None
) -> list[tuple[dict[str, Any], bytes | None]]:
    message = msgspec.msgpack.decode(header)
    word = message["type"]
    if word == "HELLO":
        return [(WELCOME, None)]
    if word == "PING":
        return [({"type": "PONG"}, None)]
    if word == "FRAME":
        return [(result_for(message), pixels)]
    return []
