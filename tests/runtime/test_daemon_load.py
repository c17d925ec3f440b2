"""Many frames from many clients at once: none lost, none mixed up."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import numpy as np

from daemons import FACTS, AddOne, Peer, serving
from scanside.runtime import Client, FrameFacts
from scanside.runtime.frame import Pixels

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


def test_large_frames_sent_without_copying_keep_their_pixels() -> None:
    with serving() as url, Client(url) as client:
        buffer = np.zeros((1024, 1280), np.uint16)  # 2.5 MiB: over the zero-copy threshold

        def camera() -> Iterator[tuple[Pixels, FrameFacts]]:
            for number in range(20):
                buffer[:] = number
                yield buffer, FACTS

        results = list(client.stream(camera()))
        for number, result in enumerate(results):
            assert result.pixels is not None
            assert (result.pixels == number + 1).all()
