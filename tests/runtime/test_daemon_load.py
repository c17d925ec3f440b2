"""Many frames from many clients at once: none lost, none mixed up."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from daemons import FACTS, AddOne, Peer, serving
from scanside.runtime import Client, FrameFacts
from scanside.runtime.daemon.server import SWITCH_INTERVAL_S
from scanside.runtime.frame import Pixels
from scanside.runtime.wire import Mode

CLIENTS = 4
FRAMES_EACH = 250
SHAPES = [(64, 48), (37, 91), (128, 128), (5, 300)]


def content(client: int, number: int) -> Pixels:
    rng = np.random.default_rng([client, number])
    return rng.integers(0, 65000, SHAPES[client]).astype(np.uint16)


def test_a_thousand_frames_from_four_clients_give_a_thousand_results() -> None:
    seen: list[Counter[str]] = [Counter() for _ in range(CLIENTS)]

    def frames(client: int) -> Iterator[tuple[Pixels, FrameFacts]]:
        for number in range(FRAMES_EACH):
            yield content(client, number), FACTS

    def work(client: int, url: str) -> None:
        with Client(url) as wire:
            for number, result in enumerate(wire.stream(frames(client))):
                assert result.pixels is not None
                right = result.seq == number and np.array_equal(
                    result.pixels, content(client, number) + np.uint16(1)
                )
                seen[client]["right" if right else "wrong"] += 1

    with serving() as url:
        threads = [threading.Thread(target=work, args=(n, url)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert seen == [Counter(right=FRAMES_EACH)] * CLIENTS
        with Peer(url) as peer:
            counters = peer.status()["counters"]
    assert counters["enhanced"] == CLIENTS * FRAMES_EACH
    assert not counters["refused"]
    assert not counters["bypassed"]


def test_with_deadlines_and_a_slow_engine_every_frame_still_gets_its_own_pixels() -> None:
    slow = threading.Event()

    def sometimes_slow(pixels: Pixels) -> None:
        if pixels[0, 0, 0] % 3 == 0:
            slow.wait(0.004)

    outcomes: Counter[str] = Counter()

    def work(client: int, url: str) -> None:
        with Client(url) as wire:
            frames = ((content(client, number), FACTS) for number in range(100))
            for number, result in enumerate(wire.stream(frames, deadline_ms=6)):
                expected = content(client, number)
                if result.outcome == "enhanced":
                    expected = expected + np.uint16(1)
                assert result.pixels is not None
                right = np.array_equal(result.pixels, expected)
                outcomes[result.outcome.value if right else "wrong"] += 1

    with serving(AddOne(sometimes_slow)) as url:
        threads = [threading.Thread(target=work, args=(n, url)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert set(outcomes) == {"enhanced", "bypassed"}
    assert outcomes.total() == CLIENTS * 100


# Traps of ZeroMQ and of Python that cost frames or time elsewhere (docs/serving.md)


@pytest.mark.parametrize("side", [64, 1120])  # 1120: 2.4 MiB, which ZeroMQ is lent and not given
def test_a_send_buffer_that_is_written_to_again_at_once(side: int) -> None:
    with serving() as url, Client(url, shared_memory=False) as client:
        buffer = np.zeros((side, side), np.uint16)

        def camera() -> Iterator[tuple[Pixels, FrameFacts]]:
            for number in range(60):
                buffer[:] = number
                yield buffer, FACTS
                buffer[:] = 9999

        for number, result in enumerate(client.stream(camera())):
            assert result.pixels is not None
            assert (result.pixels == number + 1).all()


@pytest.mark.parametrize("shared_memory", [True, False])
def test_no_high_water_mark_swallows_what_a_client_is_owed(shared_memory: bool) -> None:
    with (
        serving(credit=64) as url,
        Client(url, shared_memory=shared_memory) as client,
        Peer(url) as other,
    ):
        on_their_way = [
            client._submit(content(0, number), FACTS, "s", None, Mode.LOSSLESS, None)
            for number in range(64)
        ]
        while other.status()["counters"]["enhanced"] < 64:  # all were sent, and none was read
            time.sleep(0.005)
        results = [client._wait(one) for one in on_their_way]
    for number, result in enumerate(results):
        np.testing.assert_array_equal(result.pixels, content(0, number) + 1)


def test_a_busy_engine_lets_go_of_the_interpreter_in_time() -> None:
    before = sys.getswitchinterval()
    with serving():
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
    assert sys.getswitchinterval() == before
