"""A peer that shares its own memory: what the daemon takes of it, and what it never does."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest

from daemons import FACTS, AddOne, Gate, Peer, frame, frame_header, serving
from scanside.runtime import Client
from scanside.runtime.daemon import sharing
from scanside.runtime.frame import Pixels
from scanside.runtime.memory.handover import Letterbox
from scanside.runtime.memory.ring import Ring
from shared_frames import mapped, wait_for


class Sharer(Peer):
    """A bare peer that shares memory: `ring` is its own view of it."""

    def __init__(self, url: str, frame_bytes: int = 768) -> None:
        super().__init__(url, hello=False)
        self.box = Letterbox()
        self.welcome = self.ask({"type": "HELLO", "versions": [1], "transports": ["inline", "shm"]})
        self.shared = self.ask_for(frame_bytes)

    def ask_for(self, frame_bytes: int) -> dict[str, Any]:
        said = {"type": "MEMORY", "frame_bytes": frame_bytes, "address": self.box.address}
        shared = self.ask(said)
        memory = self.box.take(self.welcome["session"])
        assert (memory is not None) == (shared.get("slots", 0) > 0)
        if memory is not None:
            sizes = shared["frame_bytes"], shared["result_bytes"]
            self.ring = Ring(memory, shared["slots"], *sizes)
        return shared

    def put(self, seq: int, slot: int, pixels: Pixels | None = None, *parts: bytes) -> Pixels:
        pixels = frame(seq) if pixels is None else pixels
        if 0 <= slot < self.ring.slots:
            room = self.ring.frame(slot)
            room[:] = np.resize(pixels.view(np.uint8).ravel(), room.size)
        self.say(frame_header(pixels, seq=seq, slot=slot), *parts)
        return pixels

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.box.close()


def test_memory_is_shared_as_the_document_says(url: str) -> None:
    with Sharer(url) as peer:
        assert peer.welcome["transports"] == ["inline", "shm"]
        assert peer.shared["slots"] == 2 * peer.welcome["credit"]
        assert (peer.shared["frame_bytes"], peer.shared["result_bytes"]) == (768, 4 * 768)
        pixels = peer.put(0, 3)
        result = peer.hear()
        assert (result["outcome"], result["slot"], result["pixels"]) == ("enhanced", 3, None)
        said = peer.ring.result(3)[:768].view("<u2").reshape(16, 24)
        np.testing.assert_array_equal(said, pixels + 1)


@pytest.mark.parametrize("slot", [-1, 8, 2**62])
def test_a_slot_that_does_not_exist_is_malformed(url: str, slot: int) -> None:
    with Sharer(url) as peer:
        peer.put(0, slot)
        answer = peer.hear()
        assert (answer["outcome"], answer["reason"]) == ("refused", "malformed")
        assert answer["slot"] is None


def test_a_frame_larger_than_its_slot_is_malformed(url: str) -> None:
    with Sharer(url) as peer:
        peer.put(0, 0, frame(0, (16, 25)))
        assert peer.hear()["reason"] == "malformed"


def test_pixels_beside_a_slot_are_malformed(url: str) -> None:
    with Sharer(url) as peer:
        peer.put(0, 0, None, frame(0).tobytes())
        assert peer.hear()["reason"] == "malformed"


def test_a_slot_that_is_on_its_way_is_malformed() -> None:
    gate = Gate()
    with serving(AddOne(gate)) as url, Sharer(url) as peer:
        peer.put(0, 5)
        gate.wait_entered()
        peer.put(1, 5)
        assert peer.hear()["reason"] == "malformed"
        gate.open.release()
        assert peer.hear()["outcome"] == "enhanced"


def test_memory_is_not_changed_under_a_frame_on_its_way() -> None:
    gate = Gate()
    with serving(AddOne(gate)) as url, Sharer(url) as peer:
        pixels = peer.put(0, 5)
        gate.wait_entered()
        ring = peer.ring
        assert peer.ask_for(4096)["slots"] == 0
        gate.open.release()
        assert peer.hear()["slot"] == 5
        said = ring.result(5)[:768].view("<u2").reshape(16, 24)
        np.testing.assert_array_equal(said, pixels + 1)


def test_who_writes_all_the_time_spoils_only_its_own(url: str) -> None:
    stop = threading.Event()
    with Sharer(url) as hostile, Client(url) as honest:

        def scribble() -> None:
            rng = np.random.default_rng(0)
            while not stop.is_set():
                slot = int(rng.integers(hostile.ring.slots))
                hostile.ring.frame(slot)[:] = rng.integers(0, 256)
                hostile.ring.result(slot)[:] = rng.integers(0, 256)

        thread = threading.Thread(target=scribble)
        thread.start()
        try:
            for seq in range(100):
                hostile.say(frame_header(frame(0), seq=seq, slot=seq % 8))
                pixels = frame(1000 + seq)
                result = honest.enhance(pixels, FACTS)
                np.testing.assert_array_equal(result.pixels, pixels + 1)
                assert hostile.hear()["type"] == "RESULT"
        finally:
            stop.set()
            thread.join()


def test_asking_again_and_again_costs_no_more_memory(url: str) -> None:
    with Sharer(url) as peer:
        wait_for(lambda: mapped() >= 2)
        descriptors, rings = len(os.listdir("/proc/self/fd")), mapped()
        for size in range(1, 200):
            assert peer.ask_for(size * 4096)["slots"] > 0
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 2
        assert mapped() <= rings + 2


def test_all_clients_together_get_so_much(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    one = Ring.size(8, 4096, 4 * 4096)
    monkeypatch.setattr(sharing, "ALL_BYTES", one + one // 2)
    with Sharer(url, 4096) as first:
        assert first.shared["slots"] == 8
        with Sharer(url, 4096) as second:
            assert second.shared["slots"] == 4
            with Sharer(url, 4096) as third:
                assert third.shared["slots"] == 0
            second.say({"type": "BYE"})
            with Sharer(url, 4096) as fourth:
                assert fourth.shared["slots"] == 4


@pytest.mark.parametrize("size", [0, -1, (64 << 20) + 1, 2**63])
def test_absurd_sizes_are_unreadable(url: str, size: int) -> None:
    with Sharer(url) as peer:
        asked = {"type": "MEMORY", "frame_bytes": size, "address": peer.box.address}
        assert peer.ask(asked)["code"] == "unreadable"
        peer.put(0, 0)
        assert peer.hear()["outcome"] == "enhanced"


def test_an_address_where_nobody_is_gets_nothing(url: str) -> None:
    with Peer(url, hello=False) as peer:
        peer.ask({"type": "HELLO", "versions": [1], "transports": ["shm"]})
        asked = {"type": "MEMORY", "frame_bytes": 768, "address": "scanside-" + "0" * 32}
        assert peer.ask(asked)["slots"] == 0
        assert peer.send(0) is not None
        assert peer.hear()["outcome"] == "enhanced"
