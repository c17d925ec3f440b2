"""The closed lists and the limits of wire version 1."""

from __future__ import annotations

from enum import Enum

VERSIONS = (1,)
HEADER_LIMIT = 4096
PIXELS_LIMIT = 64 << 20
"""Bytes of one frame's pixels: 5,792 x 5,792 at 16 bits. ZeroMQ drops a peer that sends more."""
ZERO_COPY_BYTES = 2 << 20
"""From this size on, handing ZeroMQ the buffer itself is faster than a copy of it."""
LAG = 2
"""ZeroMQ counts up to half of a high-water mark as still waiting that has left already, so whoever
keeps to a credit needs twice the room."""
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
