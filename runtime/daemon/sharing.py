"""The daemon's side of shared memory: which session has how much, and where its frames lie.

A client may write to its slots whenever it likes, whatever it promised. That can spoil nobody's
frames but its own: the engines read a frame's words one by one, and index with none of them.
"""

from __future__ import annotations

import os

from scanside.runtime import wire
from scanside.runtime.daemon.journal import event
from scanside.runtime.daemon.sessions import Job, Session
from scanside.runtime.frame import Pixels
from scanside.runtime.memory.handover import hand_over
from scanside.runtime.memory.ring import Ring, new_memory

LARGEST_SCALE = 2
"""Whatever model serves when memory is shared, one that doubles the sides may follow."""
SESSION_BYTES = 512 << 20
ALL_BYTES = 1 << 30
"""Only pages that were written to are memory; these bound what all clients together may write."""
NOTHING = wire.Memory(slots=0)


class Sharing:
    """Belongs to the socket thread. credit: as for `Daemon`; a session gets twice as many slots, so
    that a client may look at as many results as it has frames on their way."""

    def __init__(self, credit: int) -> None:
        self._slots = 2 * credit
        self._bytes = 0

    def share(self, session: Session, request: wire.MemoryRequest) -> wire.Memory:
        """Make memory for a session, in place of what it had, and send it to its client.

        Nothing is shared, and the frames travel as messages, when the client did not say in HELLO
        that it shares, when frames are on their way, when there is no room for a single slot, or
        when the memory cannot be made or sent.
        """
        if session.unanswered or not session.shares:
            return NOTHING
        self.end(session)
        sizes = request.frame_bytes, request.frame_bytes * LARGEST_SCALE**2
        room = min(SESSION_BYTES, ALL_BYTES - self._bytes)
        slots = min(self._slots, room // Ring.size(1, *sizes))
        if slots == 0:
            return NOTHING
        size = Ring.size(slots, *sizes)
        try:
            descriptor = new_memory(size)
        except OSError:
            return NOTHING
        if not hand_over(descriptor, request.address, session.name):
            os.close(descriptor)
            return NOTHING
        session.ring = Ring(descriptor, slots, *sizes)
        self._bytes += size
        event("memory shared", session=session.name, bytes=size)
        return wire.Memory(slots=slots, frame_bytes=sizes[0], result_bytes=sizes[1])

    def end(self, session: Session) -> None:
        """A frame that an engine still reads keeps its memory until it is read."""
        if session.ring is not None:
            self._bytes -= session.ring.size_of_all
            session.ring = None


def frame_in(session: Session, frame: wire.Frame, size: int) -> Pixels | None:
    """(R, C) read-only view of the pixels in a frame's slot; None when they cannot be there."""
    ring, slot = session.ring, frame.slot
    if ring is None or slot is None or not 0 <= slot < ring.slots or size > ring.frame_bytes:
        return None
    if any(job.frame.slot == slot for job in session.unanswered.values()):
        return None
    return wire.from_wire(ring.frame(slot)[:size].data, frame.rows, frame.columns, frame.dtype)


def place_of_result(job: Job, scale: int) -> Pixels | None:
    """(R * scale, C * scale) view of where the result goes in the frame's slot; None when the frame
    has none, or there is no room."""
    ring, slot = job.ring, job.frame.slot
    size = job.pixels.nbytes * scale**2
    if ring is None or slot is None or size > ring.result_bytes:
        return None
    rows, columns = job.pixels.shape
    little = job.pixels.dtype.newbyteorder("<")
    return ring.result(slot)[:size].view(little).reshape(rows * scale, columns * scale)
