"""What a client gets for each frame, and the frame until then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import zmq

from scanside.runtime import wire
from scanside.runtime.errors import ProtocolError, RefusedFrameError
from scanside.runtime.frame import PIXEL_DTYPES, Pixels
from scanside.runtime.memory.leases import Lease
from scanside.runtime.wire import Outcome, Reason, Timings

MAX_STREAM_NAME = 64


@dataclass(frozen=True, eq=False)
class Result:
    """What became of one frame.

    pixels: read-only; enhanced: (R * scale, C * scale); bypassed and unanswered: the original
        (R, C); refused: None. The dtype is always the frame's.
    reason: why it was bypassed or refused. text: more about that, for a person.
    model: identity of the model; engine: its name; both empty when there was none.
    timings: where the time went in the daemon, in ms. round_trip_ms: from sending to receiving.
    """

    stream: str
    seq: int
    outcome: Outcome
    reason: Reason | None
    pixels: Pixels | None
    scale: int = 1
    model: str = ""
    engine: str = ""
    signed: bool = False
    timings: Timings = wire.NO_TIMINGS
    round_trip_ms: float = 0.0
    capture_time: float | None = None
    text: str = ""


@dataclass(eq=False)
class Pending:
    """A frame on its way; `result` is set once, when it is there. lease: the slot of shared memory
    that the frame is in, if it is in one."""

    stream: str
    seq: int
    pixels: Pixels
    capture_time: float | None
    lease: Lease | None = None
    sent: float = 0.0
    result: Result | None = None

    def settle(
        self, outcome: Outcome, reason: Reason | None, pixels: Pixels | None, text: str
    ) -> None:
        """Give the frame its result without a daemon."""
        self.result = Result(
            stream=self.stream,
            seq=self.seq,
            outcome=outcome,
            reason=reason,
            pixels=pixels,
            capture_time=self.capture_time,
            text=text,
        )

    def resolve(self, answer: wire.Result, part: zmq.Frame | None, now: float) -> None:
        """Give it the daemon's result. Raises ProtocolError when that is not one of this frame."""
        self.result = Result(
            stream=answer.stream,
            seq=answer.seq,
            outcome=answer.outcome,
            reason=answer.reason,
            pixels=pixels_of(answer, part, self),
            scale=answer.scale,
            model=answer.model,
            engine=answer.engine,
            signed=answer.signed,
            timings=answer.timings,
            round_trip_ms=(now - self.sent) * 1000,
            capture_time=answer.capture_time,
            text=answer.text,
        )

    def give_up(self, text: str) -> None:
        original = self.pixels.copy()
        original.flags.writeable = False
        self.settle(Outcome.UNANSWERED, None, original, text)


def check_frame(pixels: Pixels, stream: str) -> None:
    """Raise RefusedFrameError for what the wire could not even say."""
    if pixels.ndim != 2 or pixels.dtype.name not in PIXEL_DTYPES or pixels.size == 0:
        raise RefusedFrameError(
            Reason.MALFORMED.value,
            f"an array of shape {pixels.shape} and type {pixels.dtype} is not a frame",
            next_step=f"give (rows, columns) of {', '.join(PIXEL_DTYPES)}",
        )
    if len(stream) > MAX_STREAM_NAME:
        raise RefusedFrameError(
            Reason.MALFORMED.value, f"a stream's name is over {MAX_STREAM_NAME} characters"
        )


def pixels_of(answer: wire.Result, part: zmq.Frame | None, frame: Pending) -> Pixels | None:
    """The result's pixels, read-only; ProtocolError unless they are just what they may be."""
    if answer.outcome is Outcome.REFUSED and part is None and answer.slot is None:
        return None
    rows, columns = frame.pixels.shape
    may_scale = answer.outcome is Outcome.ENHANCED
    if (
        answer.outcome in (Outcome.ENHANCED, Outcome.BYPASSED)
        and (answer.scale == 1 or (answer.scale > 1 and may_scale))
        and (answer.rows, answer.columns) == (rows * answer.scale, columns * answer.scale)
        and answer.dtype == frame.pixels.dtype.name
    ):
        if answer.slot is None:
            pixels = _sent_along(answer, part)
        else:
            pixels = _in_memory(answer, frame.lease) if part is None else None
        if pixels is not None:
            return pixels
    raise ProtocolError("a result does not fit its frame")


def _sent_along(answer: wire.Result, part: zmq.Frame | None) -> Pixels | None:
    if part is None or len(part) != wire.pixel_bytes(answer.rows, answer.columns, answer.dtype):
        return None
    return wire.from_wire(part.buffer, answer.rows, answer.columns, answer.dtype)


def _in_memory(answer: wire.Result, lease: Lease | None) -> Pixels | None:
    """A view of the frame's slot; None unless it is the one that the daemon means."""
    shape = answer.rows, answer.columns
    little = np.dtype(answer.dtype).newbyteorder("<")
    if lease is None or answer.slot != lease.number:
        return None
    if answer.outcome is Outcome.BYPASSED:
        pixels = lease.frame(shape, little)
    elif shape[0] * shape[1] * little.itemsize <= lease.result_bytes:
        pixels = lease.result(shape, little)
    else:
        return None
    pixels.flags.writeable = False
    return pixels
