"""The messages of wire version 1."""

from __future__ import annotations

from typing import Annotated

import msgspec

from scanside.runtime.frame import FrameFacts
from scanside.runtime.wire.figures import Counters, Drift, Pace
from scanside.runtime.wire.words import INLINE, PIXELS_LIMIT, ErrorCode, Mode, Outcome, Reason

Stream = Annotated[str, msgspec.Meta(max_length=64)]
SequenceNumber = Annotated[int, msgspec.Meta(ge=0)]
Dtype = Annotated[str, msgspec.Meta(max_length=16)]


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    pass


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """The model that a daemon serves. identity: sha256 (hex) of its manifest without plans."""

    name: str
    version: str
    identity: str
    modality: tuple[str, ...]
    scale: int
    signed: bool
    engine: str


class Hello(_Message, frozen=True, kw_only=True, tag="HELLO"):
    versions: tuple[int, ...]
    transports: tuple[str, ...] = (INLINE,)


class Welcome(_Message, frozen=True, kw_only=True, tag="WELCOME"):
    """credit: FRAMEs that may be unanswered at once. silence_s: a session that says nothing for
    longer, and waits for nothing, is closed. model: None until one is loaded."""

    version: int
    session: str
    state: str
    model: ModelCard | None
    credit: int
    silence_s: float
    transports: tuple[str, ...] = (INLINE,)


class Frame(_Message, frozen=True, kw_only=True, tag="FRAME"):
    """One frame; its pixels are the second part.

    seq: greater than any before it in this stream of this session.
    deadline_ms: from receipt, on the daemon's monotonic clock, over 0 and at most
        DEADLINE_LIMIT_MS; None waits as long as it takes.
    capture_time: echoed, never compared with anything.
    slot: of the shared memory, where the pixels are instead of in a second part.
    """

    stream: Stream
    seq: SequenceNumber
    rows: int
    columns: int
    dtype: Dtype
    facts: FrameFacts
    mode: Mode = Mode.LOSSLESS
    deadline_ms: float | None = None
    capture_time: float | None = None
    slot: int | None = None


class MemoryRequest(_Message, frozen=True, kw_only=True, tag="MEMORY"):
    """May the two share memory for frames of up to so many bytes? address: of the client's
    `scanside.runtime.memory.handover.Letterbox`. No FRAME of the session may be on its way."""

    frame_bytes: Annotated[int, msgspec.Meta(ge=1, le=PIXELS_LIMIT)]
    address: Annotated[str, msgspec.Meta(max_length=64)]


class StatusRequest(_Message, frozen=True, kw_only=True, tag="STATUS"):
    pass


class Ping(_Message, frozen=True, kw_only=True, tag="PING"):
    pass


class Bye(_Message, frozen=True, kw_only=True, tag="BYE"):
    pass


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a frame's time went in the daemon, in milliseconds; 0 for what did not happen."""

    queue: float = 0.0
    preparation: float = 0.0
    inference: float = 0.0
    reply: float = 0.0


NO_TIMINGS = Timings()


class Result(_Message, frozen=True, kw_only=True, tag="RESULT"):
    """The one answer to a FRAME. rows, columns, dtype describe the pixels that come with it, or,
    for a refused frame, are what the FRAME said. slot: the FRAME's, where its pixels are instead of
    in a second part: an enhanced frame's in the slot's result, a bypassed one's in its frame, as
    they were. text: for a person, may be empty."""

    stream: str
    seq: int
    outcome: Outcome
    reason: Reason | None
    rows: int
    columns: int
    dtype: str
    scale: int
    model: str
    engine: str
    signed: bool
    timings: Timings = NO_TIMINGS
    capture_time: float | None = None
    text: str = ""
    slot: int | None = None


class Memory(_Message, frozen=True, kw_only=True, tag="MEMORY"):
    """What is shared from now on, in place of what was before. Its descriptor was sent to the
    client's address together with the session's name. slots: 0 when nothing is."""

    slots: int
    frame_bytes: int = 0
    result_bytes: int = 0


class Status(_Message, frozen=True, kw_only=True, tag="STATUS"):
    """guarded: whether the bundle has bounds that every result is held against. drift: per
    modality, empty where nothing was seen or the bundle has no golden statistics."""

    state: str
    model: ModelCard | None
    counters: Counters
    uptime_s: float
    pace: Pace = Pace()
    guarded: bool = False
    drifting: bool = False
    drift: tuple[Drift, ...] = ()


class Pong(_Message, frozen=True, kw_only=True, tag="PONG"):
    pass


class Error(_Message, frozen=True, kw_only=True, tag="ERROR"):
    """`text` is for a person. After NO_SESSION the client may say HELLO again."""

    code: ErrorCode
    text: str


FromClient = Hello | Frame | MemoryRequest | StatusRequest | Ping | Pong | Bye
FromDaemon = Welcome | Result | Memory | Status | Ping | Pong | Bye | Error
