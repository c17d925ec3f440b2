"""Frames and results in shared memory: as right as messages, and used again only when free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from daemons import FACTS, AddOne, Gate, frame, serving
from scanside.runtime import Client, FrameFacts
from scanside.runtime.frame import Pixels
from scanside.runtime.memory.share import transports
from scanside.runtime.wire import Mode, Outcome, Reason
from shared_frames import mapped, wait_for


class Doubled(AddOne):
    """Adds 1 and doubles the sides."""

    def run(self, pixels: Pixels, facts: Any, out: Pixels | None = None) -> Pixels:
        return np.repeat(np.repeat(super().run(pixels, facts), 2, axis=1), 2, axis=2)


def in_memory(pixels: Pixels | None) -> bool:
    """Whether an array shows a slot, and is no copy of it."""
    base: object = pixels
    while isinstance(base, np.ndarray):
        base = base.base
    return type(base).__name__ == "_Held"


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
