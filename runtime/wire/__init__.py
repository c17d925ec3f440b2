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

from scanside.runtime.wire.codec import (
    decode_from_client,
    decode_from_daemon,
    encode,
    from_wire,
    pixel_bytes,
    to_wire,
)
from scanside.runtime.wire.figures import (
    Counters,
    Drift,
    Pace,
)
from scanside.runtime.wire.messages import (
    NO_TIMINGS,
    Bye,
    Error,
    Frame,
    FromClient,
    FromDaemon,
    Hello,
    Memory,
    MemoryRequest,
    ModelCard,
    Ping,
    Pong,
    Result,
    Status,
    StatusRequest,
    Timings,
    Welcome,
)
from scanside.runtime.wire.words import (
    DEADLINE_LIMIT_MS,
    HEADER_LIMIT,
    INLINE,
    LAG,
    PIXELS_LIMIT,
    SHARED,
    VERSIONS,
    ZERO_COPY_BYTES,
    ErrorCode,
    Mode,
    Outcome,
    Reason,
)

__all__ = [
    "DEADLINE_LIMIT_MS",
    "HEADER_LIMIT",
    "INLINE",
    "LAG",
    "NO_TIMINGS",
    "PIXELS_LIMIT",
    "SHARED",
    "VERSIONS",
    "ZERO_COPY_BYTES",
    "Bye",
    "Counters",
    "Drift",
    "Error",
    "ErrorCode",
    "Frame",
    "FromClient",
    "FromDaemon",
    "Hello",
    "Memory",
    "MemoryRequest",
    "Mode",
    "ModelCard",
    "Outcome",
    "Pace",
    "Ping",
    "Pong",
    "Reason",
    "Result",
    "Status",
    "StatusRequest",
    "Timings",
    "Welcome",
    "decode_from_client",
    "decode_from_daemon",
    "encode",
    "from_wire",
    "pixel_bytes",
    "to_wire",
]
