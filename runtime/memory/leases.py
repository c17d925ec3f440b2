"""Which slots of a ring a client may write to: those that no array of the caller's still shows.

A result is a view of the slot it came in, not a copy. The slot is free again when the last array
that shows any of it has gone, which Python knows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scanside.runtime.frame import Pixels
from scanside.runtime.memory.ring import Bytes, Ring


class Lease:
    """One slot, until every array that was made of it has gone.

    number: the slot's. sent: whether a frame was sent in it, after which nobody may write to it.
    """

    def __init__(self, pool: Pool, number: int) -> None:
        self.number = number
        self.sent = False
        self._pool = pool

    def frame(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> Pixels:
        """(R, C) view of where the frame is."""
        return self._view(self._pool.ring.frame(self.number), shape, dtype)

    def result(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> Pixels:
        """(R, C) view of where the result is."""
        return self._view(self._pool.ring.result(self.number), shape, dtype)

    @property
    def result_bytes(self) -> int:
        """Room for its result."""
        return self._pool.ring.result_bytes

    def _view(self, memory: Bytes, shape: tuple[int, int], dtype: np.dtype[Any]) -> Pixels:
        size = shape[0] * shape[1] * dtype.itemsize
        held = np.asarray(_Held(self, memory))  # what keeps this lease, and is all views' base
        return held[:size].view(dtype).reshape(shape)

    def __del__(self) -> None:
        self._pool.give_back(self.number)


class _Held:
    """An array over `memory` that keeps `lease`: NumPy's views lead back to the object that lent
    them their memory, never to an array in between."""

    def __init__(self, lease: Lease, memory: Bytes) -> None:
        self.lease = lease
        self.__array_interface__ = memory.__array_interface__


class Pool:
    """The slots of one ring. Any thread may drop an array; only the client's takes a lease."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        # The last that was given back is the next that is taken: its memory exists and is warm.
        self._free = list(reversed(range(ring.slots)))

    def lease(self) -> Lease | None:
        """A free slot, or None when the caller still holds them all."""
        try:
            return Lease(self, self._free.pop())
        except IndexError:
            return None

    def give_back(self, number: int) -> None:
        self._free.append(number)

    def unsent_lease_of(self, pixels: Pixels) -> Lease | None:
        """The lease that `pixels` is the whole frame of, when it was not sent yet."""
        base: object = pixels
        while isinstance(base, np.ndarray):
            base = base.base
        if not isinstance(base, _Held) or base.lease._pool is not self or base.lease.sent:
            return None
        lease = base.lease
        begin = self.ring.frame(lease.number).ctypes.data
        as_it_is = pixels.flags.c_contiguous and pixels.dtype == pixels.dtype.newbyteorder("<")
        return lease if as_it_is and pixels.ctypes.data == begin else None
