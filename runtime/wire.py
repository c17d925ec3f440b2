"""The wire, version 1: what a client and the daemon say to each other, and nothing else.

A message is one or two ZeroMQ parts: a header (a msgpack map of at most `HEADER_LIMIT` bytes) and,
for FRAME and most RESULTs, the pixels of one frame: little-endian, C order, exactly rows x columns
x itemsize bytes. Or they stay in memory that both share, and the header says in which slot.
The map's key `type` names the message; unknown keys are ignored, so that a later minor version may
add some.

::

    client (DEALER)     daemon (ROUTER)
    HELLO           ->  WELCOME             or ERROR
    MEMORY          ->  MEMORY              for a client on the same host
    FRAME + pixels  ->  RESULT (+ pixels)   exactly one per FRAME of a session
    STATUS          ->  STATUS              needs no session
    PING            ->  PONG                from either side, answered by the other
    BYE             <-> BYE                 ends the session, either side may say it
                        ERROR               an unreadable header, a FRAME before HELLO, ...
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, TypeVar

import msgspec
import numpy as np
import zmq

from scanside.runtime.errors import ProtocolError
from scanside.runtime.frame import PIXEL_DTYPES, FrameFacts, Pixels

VERSIONS = (1,)
HEADER_LIMIT = 4096
PIXELS_LIMIT = 64 << 20
"""Bytes of one frame's pixels: 5,792 x 5,792 at 16 bits. ZeroMQ drops a peer that sends more."""
ZERO_COPY_BYTES = 2 << 20
"""From this size on, handing ZeroMQ the buffer itself is faster than a copy of it."""
DEADLINE_LIMIT_MS = 60_000.0
INLINE = "inline"
"""The transport that every peer speaks: pixels travel within the message."""
SHARED = "shm"
"""Pixels stay in memory that client and daemon share (`scanside.runtime.memory`)."""


class Outcome(str, Enum):
    ENHANCED = "enhanced"
    BYPASSED = "bypassed"
    """The original pixels come back, at scale 1."""
    REFUSED = "refused"
    """No pixels come back: the frame should not have been sent."""
    UNANSWERED = "unanswered"
    """Never on the wire: the client's word for a frame whose daemon went away."""


class Reason(str, Enum):
    """Why a frame was not enhanced: a closed list."""

    # bypassed
    LATE = "late"
    SUPERSEDED = "superseded"
    ENGINE_ERROR = "engine error"
    GUARD = "guard"
    NOT_READY = "not ready"
    DRAINING = "draining"
    # refused
    MALFORMED = "malformed"
    OVER_CREDIT = "over credit"
    TOO_LARGE = "too large"
    WRONG_MODALITY = "wrong modality"
    DUPLICATE = "duplicate"


class Mode(str, Enum):
    """What a newer frame of a stream does to one that still waits: nothing, or take its place."""

    LOSSLESS = "lossless"
    LATEST = "latest"


class ErrorCode(str, Enum):
    UNREADABLE = "unreadable"
    NO_SESSION = "no session"
    NO_COMMON_VERSION = "no common version"
    BUSY = "busy"


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


class Counters(msgspec.Struct, kw_only=True):
    """RESULTs that were sent since the daemon started; `sessions` and `queue` are as of now.

    closed_peers: sessions ended because the peer was gone or did not read its results.
    errors: ERROR messages sent. queue: admitted frames without an answer. streams: of the sessions
    that are open; they are never named, since clients choose the names.
    """

    enhanced: int = 0
    bypassed: dict[str, int] = {}
    refused: dict[str, int] = {}
    sessions: int = 0
    streams: int = 0
    closed_peers: int = 0
    errors: int = 0
    queue: int = 0

    def count(self, outcome: Outcome, reason: Reason | None) -> None:
        if reason is None:
            self.enhanced += 1
        else:
            by_reason = self.refused if outcome is Outcome.REFUSED else self.bypassed
            by_reason[reason.value] = by_reason.get(reason.value, 0) + 1


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast the daemon goes. frames_per_second: RESULTs over the last seconds. p50_ms, p99_ms:
    from receipt to RESULT, of the last enhanced frames; `frames` says of how many, 0 of none."""

    frames_per_second: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    frames: int = 0


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """What the model removes from one modality's live frames, beside the bundle's golden frames:
    see `scanside.runtime.daemon.drift`.

    drifting: "too little", "too much", "shifted", or empty. frames: seen so far. streams: so many
    of them drift by themselves.
    """

    modality: str
    drifting: str
    strength: float
    shift: float
    frames: int
    streams: int


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

_Any = TypeVar("_Any")
_encoder = msgspec.msgpack.Encoder()
_from_client: msgspec.msgpack.Decoder[FromClient] = msgspec.msgpack.Decoder(FromClient)
_from_daemon: msgspec.msgpack.Decoder[FromDaemon] = msgspec.msgpack.Decoder(FromDaemon)


def encode(message: FromClient | FromDaemon) -> bytes:
    """The header of a message. Raises ProtocolError when it would not fit into HEADER_LIMIT."""
    header = _encoder.encode(message)
    if len(header) > HEADER_LIMIT:
        raise ProtocolError(f"a header of {len(header)} bytes is over {HEADER_LIMIT}")
    return header


def decode_from_client(header: zmq.Frame) -> FromClient:
    """Raises ProtocolError for anything that is not one of the client's messages."""
    return _decode(_from_client, header)


def decode_from_daemon(header: zmq.Frame) -> FromDaemon:
    """Raises ProtocolError for anything that is not one of the daemon's messages."""
    return _decode(_from_daemon, header)


def _decode(decoder: msgspec.msgpack.Decoder[_Any], header: zmq.Frame) -> _Any:
    if len(header) > HEADER_LIMIT:
        raise ProtocolError(f"a header of {len(header)} bytes is over {HEADER_LIMIT}")
    try:
        return decoder.decode(header.buffer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError("the header is not a message of wire version 1") from error


def pixel_bytes(rows: int, columns: int, dtype: str) -> int | None:
    """Bytes that such pixels have on the wire; None when there are no such pixels."""
    if dtype not in PIXEL_DTYPES or rows < 1 or columns < 1:
        return None
    return rows * columns * np.dtype(dtype).itemsize


def to_wire(pixels: Pixels) -> Pixels:
    """The same values, little-endian and in C order: `pixels` itself where it is so already."""
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))


def from_wire(received: memoryview, rows: int, columns: int, dtype: str) -> Pixels:
    """Read-only (R, C) array in native byte order: a view of what was received where that is
    possible. The caller has compared its size with `pixel_bytes`."""
    little = np.frombuffer(received, dtype=np.dtype(dtype).newbyteorder("<"))
    native = little.astype(np.dtype(dtype), copy=not little.flags.aligned)
    pixels = native.reshape(rows, columns)
    pixels.flags.writeable = False
    return pixels
