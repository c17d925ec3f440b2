"""The client's side of shared memory: asking for it, and finding a slot for each frame."""

from __future__ import annotations

import sys

import numpy as np

from scanside.runtime import wire
from scanside.runtime.frame import Pixels
from scanside.runtime.memory.handover import Letterbox
from scanside.runtime.memory.leases import Lease, Pool
from scanside.runtime.memory.ring import Ring

_HERE = ("ipc://", "tcp://127.", "tcp://localhost:", "tcp://[::1]:")


def transports(url: str, *, shared: bool) -> tuple[str, ...]:
    """How the frames of a client of the daemon at `url` may travel. shared: whether it wants to
    share memory, which it can with a daemon on the same Linux."""
    if shared and sys.platform == "linux" and url.startswith(_HERE):
        return wire.INLINE, wire.SHARED
    return (wire.INLINE,)


class Share:
    """What one session shares with its daemon: nothing at first.

    asked: whether an answer of the daemon's is due. pool: the slots, None without any.
    """

    def __init__(self) -> None:
        self.asked = False
        self.pool: Pool | None = None
        self._asked_bytes = 0
        self._box: Letterbox | None = None

    def request(self, frame_bytes: int) -> wire.MemoryRequest | None:
        """What to ask the daemon for frames of this size; None when they fit already, or were
        refused before."""
        if self.asked or frame_bytes <= max(self.room, self._asked_bytes):
            return None
        self._asked_bytes = frame_bytes
        try:
            self._box = self._box or Letterbox()
        except OSError:  # no such sockets in this container: frames travel as messages
            return None
        self.asked = True
        return wire.MemoryRequest(frame_bytes=frame_bytes, address=self._box.address)

    def answered(self, memory: wire.Memory, session: str) -> None:
        """Take what the daemon gave. Raises ProtocolError when it is not what it said."""
        self.asked = False
        self.pool = None
        descriptor = self._box.take(session) if self._box is not None and memory.slots else None
        if descriptor is not None:
            ring = Ring(descriptor, memory.slots, memory.frame_bytes, memory.result_bytes)
            self.pool = Pool(ring)

    @property
    def room(self) -> int:
        """Bytes of the largest frame that a slot holds."""
        return self.pool.ring.frame_bytes if self.pool is not None else 0

    def place(self, pixels: Pixels) -> Lease | None:
        """A slot that holds `pixels`: their own where they are in one that was never sent, else a
        free one that they are copied to; None when there is none."""
        if self.pool is None or pixels.nbytes > self.room:
            return None
        lease = self.pool.unsent_lease_of(pixels)
        if lease is None:
            lease = self.pool.lease()
            if lease is not None:
                np.copyto(lease.frame(_shape(pixels), pixels.dtype.newbyteorder("<")), pixels)
        if lease is not None:
            lease.sent = True
        return lease

    def buffer(self, shape: tuple[int, int], dtype: np.dtype[np.generic]) -> Pixels | None:
        """(R, C) array in a free slot, whose frame needs no copy; None when there is none."""
        size = shape[0] * shape[1] * dtype.itemsize
        lease = self.pool.lease() if self.pool is not None and size <= self.room else None
        return lease.frame(shape, dtype) if lease is not None else None

    def close(self) -> None:
        """Arrays that show a slot keep its memory."""
        self.pool = None
        if self._box is not None:
            self._box.close()
            self._box = None


def _shape(pixels: Pixels) -> tuple[int, int]:
    rows, columns = pixels.shape
    return rows, columns
