"""Frames in memory that client and daemon share: the same pixels, and harm to nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemons import (
    FACTS,
    SOON_S,
    WELCOME,
    AddOne,
    Answer,
    Gate,
    Peer,
    frame,
    frame_header,
    pretender,
    result_for,
    serving,
)
from scanside.runtime import Client, FrameFacts
from scanside.runtime.daemon import sharing
from scanside.runtime.errors import ProtocolError
from scanside.runtime.frame import Pixels
from scanside.runtime.memory.handover import Letterbox, hand_over
from scanside.runtime.memory.ring import Ring, new_memory
from scanside.runtime.memory.share import transports
from scanside.runtime.wire import Mode, Outcome, Reason


class Doubled(AddOne):
    """Adds 1 and doubles the sides."""

    def run(self, pixels: Pixels, facts: Any, out: Pixels | None = None) -> Pixels:
        return np.repeat(np.repeat(super().run(pixels, facts), 2, axis=1), 2, axis=2)


@pytest.fixture
def url() -> Iterator[str]:
    with serving() as url:
        yield url


def in_memory(pixels: Pixels | None) -> bool:
    """Whether an array shows a slot, and is no copy of it."""
    base: object = pixels
    while isinstance(base, np.ndarray):
        base = base.base
    return type(base).__name__ == "_Held"


def mapped() -> int:
    """How many rings this process maps."""
    return Path("/proc/self/maps").read_text().count("memfd:scanside")


def wait_for(done: Any) -> None:
    until = time.monotonic() + SOON_S
    while not done():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("shape", [(1, 1), (17, 23), (512, 512)])
def test_the_pixels_are_those_that_messages_bring(
    url: str, dtype: str, shape: tuple[int, int]
) -> None:
    bits = np.dtype(dtype).itemsize * 8
    facts = FrameFacts(modality="CT", bits_stored=bits, signed=dtype.startswith("i"))
    pixels = frame(1, shape).astype(dtype)
    with Client(url) as shared, Client(url, shared_memory=False) as inline:
        one, other = shared.enhance(pixels, facts), inline.enhance(pixels, facts)
        assert (shared.transport, inline.transport) == ("shm", "inline")
    assert in_memory(one.pixels)
    assert not in_memory(other.pixels)
    assert one.pixels is not None
    assert other.pixels is not None
    assert one.pixels.dtype == other.pixels.dtype == dtype
    assert not one.pixels.flags.writeable
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.pixels, pixels + pixels.dtype.type(1))


def test_a_result_of_twice_the_size_has_room() -> None:
    pixels = frame(1, (64, 48))
    with serving(Doubled(), scale=2) as url, Client(url) as client:
        result = client.enhance(pixels, FACTS)
    assert in_memory(result.pixels)
    np.testing.assert_array_equal(result.pixels, np.kron(pixels + 1, np.ones((2, 2), np.uint16)))


def test_results_that_are_kept_never_change(url: str) -> None:
    frames = [frame(seed) for seed in range(60)]
    with Client(url) as client:
        kept = list(client.stream((one, FACTS) for one in frames))
    assert any(in_memory(result.pixels) for result in kept)
    assert not all(in_memory(result.pixels) for result in kept)  # when the slots ran out
    for one, result in zip(frames, kept, strict=True):
        np.testing.assert_array_equal(result.pixels, one + 1)


def test_results_that_are_let_go_give_their_slots_back(url: str) -> None:
    with Client(url) as client:
        for seed in range(60):
            result = client.enhance(frame(seed), FACTS)
            assert in_memory(result.pixels)


def test_a_capture_buffer_may_be_used_again_at_once(url: str) -> None:
    buffer = np.empty((64, 64), np.uint16)

    def camera() -> Iterator[tuple[Pixels, FrameFacts]]:
        for number in range(200):
            buffer[:] = number
            yield buffer, FACTS

    with Client(url) as client:
        for number, result in enumerate(client.stream(camera())):
            assert result.pixels is not None
            assert set(np.unique(result.pixels)) == {number + 1}


def test_a_frame_that_was_made_in_shared_memory_is_not_copied(url: str) -> None:
    with Client(url) as client:
        for number in range(30):
            buffer = client.buffer(16, 24, "uint16")
            assert in_memory(buffer)
            buffer[:] = number
            place = buffer.ctypes.data
            result = client.enhance(buffer, FACTS)
            assert in_memory(result.pixels)
            assert result.pixels is not None
            assert 0 < result.pixels.ctypes.data - place <= 4096
            assert set(np.unique(result.pixels)) == {number + 1}
            assert set(np.unique(buffer)) == {number}


def test_the_same_buffer_sent_twice_is_copied_the_second_time(url: str) -> None:
    with Client(url) as client:
        buffer = client.buffer(16, 24, "uint16")
        buffer[:] = 5
        results = list(client.stream([(buffer, FACTS)] * 3))
    assert [int(np.unique(result.pixels)[0]) for result in results] == [6, 6, 6]


def test_buffers_beyond_the_slots_are_ordinary_memory(url: str) -> None:
    with Client(url) as client:
        buffers = [client.buffer(16, 24, "uint16") for _ in range(20)]
        assert {in_memory(buffer) for buffer in buffers} == {True, False}
        for number, buffer in enumerate(buffers):
            buffer[:] = number
        results = list(client.stream((buffer, FACTS) for buffer in buffers))
    for number, result in enumerate(results):
        assert set(np.unique(result.pixels)) == {number + 1}


def test_larger_frames_get_larger_slots_and_smaller_ones_keep_them(url: str) -> None:
    with Client(url) as client:
        before = mapped()
        for side in (16, 256, 16, 300, 20):
            pixels = frame(side, (side, side))
            result = client.enhance(pixels, FACTS)
            assert in_memory(result.pixels)
            np.testing.assert_array_equal(result.pixels, pixels + 1)
        assert client._line.session is not None
        assert client._line.session.share.room == 300 * 300 * 2
        del result
        wait_for(lambda: mapped() == before + 2)  # the daemon's, in this process too


def test_a_larger_frame_behind_others_travels_as_a_message() -> None:
    frames = [frame(1), frame(2, (200, 200)), frame(3)]
    gate = Gate()

    def camera() -> Iterator[tuple[Pixels, FrameFacts]]:
        for one in frames:
            yield one, FACTS
        for _ in frames:
            gate.open.release()

    with serving(AddOne(gate)) as url, Client(url) as client:
        results = list(client.stream(camera()))
    assert [in_memory(result.pixels) for result in results] == [True, False, True]
    for one, result in zip(frames, results, strict=True):
        np.testing.assert_array_equal(result.pixels, one + 1)


def test_a_late_frame_comes_back_as_it_was_though_its_slot_is_used_again() -> None:
    gate = Gate()
    with serving(AddOne(gate)) as url, Client(url) as client:
        first, second = frame(1), frame(2)
        late = client.enhance(first, FACTS, deadline_ms=20)
        assert (late.outcome, late.reason) == (Outcome.BYPASSED, Reason.LATE)
        assert in_memory(late.pixels)
        np.testing.assert_array_equal(late.pixels, first)
        del late  # the engine still reads it
        gate.open.release()
        gate.open.release()
        result = client.enhance(second, FACTS)
        np.testing.assert_array_equal(result.pixels, second + 1)


def test_superseded_frames_come_back_as_they_were() -> None:
    gate = Gate()
    frames = [frame(seed) for seed in range(4)]

    def camera() -> Iterator[tuple[Pixels, FrameFacts]]:
        yield frames[0], FACTS
        gate.wait_entered()
        for one in frames[1:]:
            yield one, FACTS
        client.status()  # the daemon has them all now
        for _ in frames:
            gate.open.release()

    with serving(AddOne(gate)) as url, Client(url) as client:
        results = list(client.stream(camera(), mode=Mode.LATEST))
    outcomes = [result.outcome.value for result in results]
    assert outcomes == ["enhanced", "bypassed", "bypassed", "enhanced"]
    for one, result in zip(frames, results, strict=True):
        changed = 1 if result.outcome is Outcome.ENHANCED else 0
        np.testing.assert_array_equal(result.pixels, one + changed)


def test_after_the_daemon_is_gone_the_originals_are_still_there() -> None:
    gate = Gate()
    frames = [frame(seed) for seed in range(3)]
    buffer = np.empty_like(frames[0])

    def camera() -> Iterator[tuple[Pixels, FrameFacts]]:
        for one in frames:
            buffer[:] = one
            yield buffer, FACTS

    with serving(AddOne(gate), drain_s=0.1) as url, Client(url, timeout=0.3) as client:
        results = list(client.stream(camera()))
        for _ in frames:
            gate.open.release()
    for one, result in zip(frames, results, strict=True):
        assert result.outcome is Outcome.UNANSWERED
        np.testing.assert_array_equal(result.pixels, one)


STREAM_FOR_EVER = """
import itertools, sys
import numpy as np
from scanside.runtime import Client, FrameFacts
frame = np.zeros((64, 64), np.uint16), FrameFacts(modality="CT", bits_stored=16, signed=False)
with Client(sys.argv[1]) as client:
    assert client.enhance(*frame).outcome == "enhanced"
    assert client.transport == "shm"
    for number, _ in enumerate(client.stream(itertools.repeat(frame))):
        if number == 50:
            print("streaming", flush=True)
"""


def test_the_memory_of_killed_clients_is_given_back() -> None:
    before = mapped()
    with serving(silence_s=0.4) as url:
        for _ in range(3):
            with subprocess.Popen(
                [sys.executable, "-c", STREAM_FOR_EVER, url], stdout=subprocess.PIPE
            ) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == b"streaming\n"
                assert mapped() > before
                os.kill(process.pid, signal.SIGKILL)
        wait_for(lambda: mapped() == before)
        with Client(url) as client:
            assert in_memory(client.enhance(frame(1), FACTS).pixels)


def test_a_client_elsewhere_is_offered_nothing() -> None:
    assert transports("tcp://192.168.0.7:5555", shared=True) == ("inline",)
    assert transports("ipc:///run/scanside.sock", shared=False) == ("inline",)
    for url in ("ipc:///x", "tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1"):
        assert transports(url, shared=True) == ("inline", "shm")


# A daemon and clients that do not keep to the rules


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


SHARING = WELCOME | {"transports": ["inline", "shm"]}


def lying(tell: Any) -> Any:
    """A pretender's answers: shares 8 slots truly unless `tell` says otherwise, and then gives the
    changes of `tell` to a result."""

    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        if message["type"] == "HELLO":
            return [[SHARING]]
        if message["type"] == "MEMORY":
            sizes = message["frame_bytes"], 4 * message["frame_bytes"]
            memory = new_memory(Ring.size(8, *sizes))
            assert hand_over(memory, message["address"], tell.get("word", "s"))
            os.close(memory)
            told = {"type": "MEMORY", "slots": tell.get("slots", 8)}
            return [[told | {"frame_bytes": sizes[0], "result_bytes": sizes[1]}]]
        if message["type"] != "FRAME":
            return []
        slot = tell.get("slot", lambda slot: slot)(message["slot"])
        return [[result_for(message, **tell.get("result", {}), slot=slot), *tell.get("parts", [])]]

    return answer


@pytest.mark.parametrize(
    "tell",
    [
        {"slots": 7},
        {"slots": 2**40},
        {"slot": lambda slot: slot + 1},
        {"slot": lambda slot: -1},
        {"slot": lambda slot: None},
        {"parts": [b"\0" * 768]},
        {"result": {"outcome": "bypassed", "reason": "late", "scale": 2}},
        {"result": {"scale": 4, "rows": 64, "columns": 96}},
        {"result": {"outcome": "refused", "reason": "malformed"}},
    ],
)
def test_a_daemon_that_lies_about_memory_is_not_believed(tell: dict[str, Any]) -> None:
    with (
        pretender(lying(tell)) as url,
        Client(url, timeout=1.0) as client,
        pytest.raises(ProtocolError),
    ):
        client.enhance(frame(0), FACTS)


def test_memory_that_nobody_asked_for_is_not_believed() -> None:
    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        if message["type"] == "STATUS":
            return [[{"type": "MEMORY", "slots": 1, "frame_bytes": 768, "result_bytes": 768}]]
        return []

    with (
        pretender(answer) as url,
        Client(url, timeout=1.0) as client,
        pytest.raises(ProtocolError, match="nobody asked"),
    ):
        client.status()


def test_memory_that_never_came_leaves_messages() -> None:
    with (
        pretender(lying({"word": "another", "parts": [frame(0).tobytes()]})) as url,
        Client(url, timeout=1.0) as client,
    ):
        assert client.enhance(frame(0), FACTS).outcome is Outcome.ENHANCED
        assert client.transport == "inline"


def test_who_did_not_offer_to_share_gets_nothing(url: str) -> None:
    box = Letterbox()
    with Peer(url) as peer:
        asked = {"type": "MEMORY", "frame_bytes": 768, "address": box.address}
        assert peer.welcome["transports"] == ["inline"]
        assert peer.ask(asked)["slots"] == 0
    box.close()
