"""Hostile messages for the daemon, each wrong in one way that we could think of; `conversations`
goes on where nobody thinks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from daemons import frame, frame_header

Message = list[bytes]
PIXELS = frame(0)
FOUR_BILLION = b"\xdd\xff\xff\xff\xff"


def pack(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


def crafted() -> Iterator[tuple[str, Message]]:
    """Named messages, each hostile in one way."""
    good = frame_header(PIXELS)
    pixels = PIXELS.tobytes()
    yield "nothing", [b""]
    yield "two empty parts", [b"", b""]
    yield "a REQ peer's empty delimiter", [b"", pack(good), pixels]
    yield "pixels first", [pixels, pack(good)]
    yield "a pickle", [b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07os.exit\x94."]
    yield "json", [b'{"type": "PING"}']
    yield "not a map", [pack([1, 2, 3])]
    yield "no type", [pack({k: v for k, v in good.items() if k != "type"}), pixels]
    yield "an unknown type", [pack(good | {"type": "EXEC"}), pixels]
    yield "the daemon's own words", [pack({"type": "RESULT", "seq": 0})]
    yield "a header over the limit", [pack(good | {"more": "x" * 5000}), pixels]
    yield "a header of 1 MiB", [b"\x81\xa4type" + b"x" * (1 << 20)]
    yield "a map of 2^32-1 entries", [b"\xdf\xff\xff\xff\xff"]
    yield "a string of 2^32-1 bytes", [b"\x81\xa4type\xdb\xff\xff\xff\xff"]
    yield "a list of 2^32-1 versions", [pack({"type": "HELLO", "versions": []})[:-1] + FOUR_BILLION]
    yield "nested 4,000 deep", [b"\x91" * 4000]
    yield "a timestamp for a type", [b"\x81\xa4type\xd6\xff\x00\x00\x00\x00"]
    yield "invalid UTF-8", [b"\x81\xa4type\xa2\xff\xfe"]
    yield "rubbish after the map", [pack({"type": "PING"}) + b"\x00"]
    yield "a hundred parts", [pack(good), *[pixels] * 100]
    yield "HELLO with too many versions", [pack({"type": "HELLO", "versions": list(range(5000))})]
    yield "HELLO with odd versions", [pack({"type": "HELLO", "versions": ["1", None]})]
    for name in good:
        if name != "type":
            yield f"no {name}", [pack({k: v for k, v in good.items() if k != name}), pixels]
            for value in (None, -1, 2**64 - 1, -(2**63), 1e308, "", "x" * 3000, [], {}, True, b"z"):
                label = repr(value)[:12]
                yield f"{name} = {label}", [pack(good | {name: value}), pixels]
    for name in good["facts"]:
        for value in (None, -1, 0, 2**64 - 1, float("nan"), float("inf"), 1e308, "x" * 99, [1, 2]):
            facts = good["facts"] | {name: value}
            label = repr(value)[:12]
            yield f"facts.{name} = {label}", [pack(good | {"facts": facts}), pixels]
    for size in (0, 1, len(pixels) - 1, len(pixels) + 1, 1 << 20):
        yield f"{size} bytes of pixels", [pack(good), b"\xff" * size]
