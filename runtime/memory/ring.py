"""A ring of slots in memory that two processes share: a frame goes in, its result comes out.

A slot holds one frame's pixels and, at an offset of its own, those of its result. Who may use which
slot is settled by messages (docs/wire-v1.md): nothing here waits, locks or signals.

The memory is a file without a name (memfd), sealed against changes of its size before it is given
away: else whoever shrank it would kill every process that reads it (SIGBUS). It belongs to one
session and is gone with the last process that maps it, however that one ended.
"""

from __future__ import annotations

import fcntl
import mmap
import os

import numpy as np
import numpy.typing as npt

from scanside.runtime.errors import ProtocolError

PAGE = mmap.PAGESIZE
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

Bytes = npt.NDArray[np.uint8]


class Ring:
    """slots: their number. frame_bytes, result_bytes: room in each. descriptor: of the memory,
    which is closed in any case. Raises ProtocolError when it has not the size for that.

    Only what is written to costs memory: a page that nobody touched does not exist.
    """

    def __init__(self, descriptor: int, slots: int, frame_bytes: int, result_bytes: int) -> None:
        self.slots = slots
        self.frame_bytes = frame_bytes
        self.result_bytes = result_bytes
        self._result_at = _whole_pages(frame_bytes)
        self._stride = self._result_at + _whole_pages(result_bytes)
        try:
            sane = min(slots, frame_bytes, result_bytes) > 0
            if not sane or os.fstat(descriptor).st_size != self.size_of_all:
                raise ProtocolError("shared memory is not as large as was said")
            # No array outlives it: each keeps the mapping, and the last one ends it.
            self._all = np.frombuffer(mmap.mmap(descriptor, self.size_of_all), dtype=np.uint8)
        finally:
            os.close(descriptor)

    @property
    def size_of_all(self) -> int:
        """Bytes of the whole memory."""
        return self.slots * self._stride

    @classmethod
    def size(cls, slots: int, frame_bytes: int, result_bytes: int) -> int:
        """Bytes of the whole memory."""
        return slots * (_whole_pages(frame_bytes) + _whole_pages(result_bytes))

    def frame(self, slot: int) -> Bytes:
        """(frame_bytes,) view of where a slot's frame is."""
        begin = slot * self._stride
        return self._all[begin : begin + self.frame_bytes]

    def result(self, slot: int) -> Bytes:
        """(result_bytes,) view of where a slot's result is."""
        begin = slot * self._stride + self._result_at
        return self._all[begin : begin + self.result_bytes]


def new_memory(size: int) -> int:
    """A descriptor of `size` bytes of zeros whose size nobody can change. Raises OSError."""
    descriptor = os.memfd_create("scanside", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _whole_pages(size: int) -> int:
    return -(-size // PAGE) * PAGE
