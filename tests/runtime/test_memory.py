"""Memory that two processes share: its layout, its handing over, and who may use which slot."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from scanside.runtime.errors import ProtocolError
from scanside.runtime.frame import Pixels
from scanside.runtime.memory.handover import Letterbox, hand_over
from scanside.runtime.memory.leases import Pool
from scanside.runtime.memory.ring import PAGE, Ring, new_memory

SIZES = (1000, 5000)
UINT16 = np.dtype("<u2")


@pytest.fixture
def box() -> Iterator[Letterbox]:
    box = Letterbox()
    yield box
    box.close()


@pytest.fixture
def pool() -> Pool:
    return Pool(Ring(new_memory(Ring.size(2, *SIZES)), 2, *SIZES))


def test_what_one_writes_the_other_reads_and_no_slot_touches_another() -> None:
    memory = new_memory(Ring.size(3, *SIZES))
    one, other = Ring(os.dup(memory), 3, *SIZES), Ring(memory, 3, *SIZES)
    for slot in range(3):
        one.frame(slot)[:] = 2 * slot + 1
        one.result(slot)[:] = 2 * slot + 2
    for slot in range(3):
        assert other.frame(slot).shape == (1000,)
        assert other.result(slot).shape == (5000,)
        assert set(other.frame(slot)) == {2 * slot + 1}
        assert set(other.result(slot)) == {2 * slot + 2}


def test_every_frame_and_every_result_begins_a_page() -> None:
    ring = Ring(new_memory(Ring.size(2, *SIZES)), 2, *SIZES)
    begin = ring.frame(0).ctypes.data
    assert [ring.result(0).ctypes.data - begin, ring.frame(1).ctypes.data - begin] == [
        PAGE,
        3 * PAGE,
    ]
    assert Ring.size(2, *SIZES) == ring.size_of_all == 6 * PAGE


@pytest.mark.parametrize("size", [0, PAGE, 1 << 30])
def test_nobody_can_change_its_size(size: int) -> None:
    memory = new_memory(2 * PAGE)
    with pytest.raises(PermissionError):
        os.ftruncate(memory, size)
    assert os.fstat(memory).st_size == 2 * PAGE
    os.close(memory)


def test_pages_that_nobody_wrote_to_cost_nothing() -> None:
    memory = new_memory(1 << 30)
    assert os.fstat(memory).st_blocks == 0
    os.close(memory)


@pytest.mark.parametrize(
    "said", [(3, *SIZES), (2, 1000, 50_000), (0, *SIZES), (-2, *SIZES), (2, 0, 5000), (2, 1000, -1)]
)
def test_memory_of_another_size_than_was_said_is_not_mapped(said: tuple[int, int, int]) -> None:
    memory = new_memory(Ring.size(2, *SIZES))
    with pytest.raises(ProtocolError, match="not as large"):
        Ring(memory, *said)
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(memory)


def test_a_descriptor_arrives_with_its_word(box: Letterbox) -> None:
    memory = new_memory(PAGE)
    assert hand_over(memory, box.address, "a session")
    taken = box.take("a session")
    assert taken is not None
    assert os.path.sameopenfile(taken, memory)
    assert box.take("a session") is None
    os.close(taken)
    os.close(memory)


def test_a_descriptor_with_another_word_is_closed(box: Letterbox) -> None:
    before = len(os.listdir("/proc/self/fd"))
    memory = new_memory(PAGE)
    assert hand_over(memory, box.address, "another session")
    os.close(memory)
    assert box.take("a session") is None
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("address", ["", "scanside-", "scanside-" + "0" * 31 + "g", "a" * 64])
def test_no_descriptor_goes_to_who_else_listens(address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        if address:
            other.bind(f"\0{address}")
        memory = new_memory(PAGE)
        assert not hand_over(memory, address, "a session")
        os.close(memory)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(64)


def test_handing_over_never_waits(box: Letterbox) -> None:
    memory = new_memory(PAGE)
    sent = 0
    while hand_over(memory, box.address, "a session"):
        sent += 1
        assert sent < 100_000
    assert sent > 0
    os.close(memory)


def test_a_slot_is_free_again_when_its_last_array_has_gone(pool: Pool) -> None:
    lease = pool.lease()
    assert lease is not None
    assert pool.lease() is not None  # dropped at once
    result = lease.result((10, 20), UINT16)
    corner = result[2:4, ::3].T
    number = lease.number
    del lease, result
    gc.collect()
    left = [one for one in (pool.lease(), pool.lease()) if one is not None]
    assert [one.number for one in left] == [1 - number]
    corner[:] = 7
    del corner
    again = pool.lease()
    assert again is not None
    assert again.number == number


def test_a_lease_outlives_its_pool() -> None:
    pool = Pool(Ring(new_memory(Ring.size(1, *SIZES)), 1, *SIZES))
    lease = pool.lease()
    assert lease is not None
    frame = lease.frame((10, 20), UINT16)
    del pool, lease
    gc.collect()
    frame[:] = 3
    assert int(frame.sum()) == 600


def test_frames_are_known_by_the_memory_that_they_are_in(pool: Pool) -> None:
    lease = pool.lease()
    assert lease is not None
    frame = lease.frame((10, 20), UINT16)
    assert pool.unsent_lease_of(frame) is lease
    others: list[Pixels] = [
        frame.copy(),
        frame[1:],
        frame[:, 1:],
        frame.T,
        frame[::2],
        frame.view(">u2"),
        lease.result((10, 20), UINT16),
    ]
    for other in others:
        assert pool.unsent_lease_of(other) is None
    lease.sent = True
    assert pool.unsent_lease_of(frame) is None


DIE = """
import os, signal, sys
from scanside.runtime.memory.handover import Letterbox
from scanside.runtime.memory.ring import Ring
box = Letterbox()
print(box.address, flush=True)
sys.stdin.readline()
ring = Ring(box.take("s"), 2, 1000, 5000)
ring.frame(1)[:] = 9
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_shared_is_still_there_and_then_gone() -> None:
    memory = new_memory(Ring.size(2, *SIZES))
    with subprocess.Popen(
        [sys.executable, "-c", DIE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert hand_over(memory, process.stdout.readline().strip(), "s")
        process.stdin.write("\n")
        process.stdin.flush()
        process.wait()
    ring = Ring(memory, 2, *SIZES)
    assert set(ring.frame(1)) == {9}
    assert set(ring.frame(0)) == {0}
