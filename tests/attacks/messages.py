"""Mutations of one wire message that know its structure: keys, types, lengths, words, parts."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from attacks.msgpack_forms import Pairs, Raw, Writer

Message = list[bytes]
BORDERS = tuple(
    sorted(
        {0, 1, -1, 2, 15, 16, 17, 31, 32, 33, 64, 65, 60_000, 60_001, 67_108_864, 67_108_865}
        | {sign * (1 << bits) + by for bits in (7, 8, 15, 16, 31, 32, 63) for sign in (1, -1)
           for by in (-1, 0, 1) if sign * (1 << bits) + by >= -(1 << 63)}
        | {(1 << 64) - 1, (1 << 64) - 2}
    )
)  # fmt: skip
FLOATS = (0.0, -0.0, 1.0, 16.0, -1.0, 0.5, math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324,
          1e-30, 60_000.0, 60_000.1, 3.4028236e38)  # fmt: skip
WORDS = (
    "HELLO", "WELCOME", "FRAME", "RESULT", "STATUS", "PING", "PONG", "BYE", "ERROR", "MEMORY",
    "hello", "FRAME ", "lossless", "latest", "LATEST", "uint8", "int8", "uint16", "int16", "uint32",
    "float32", ">u2", "object", "CT", "MR", "CR", "MONOCHROME1", "MONOCHROME2", "RGB", "inline",
    "shm", "enhanced", "", "x" * 16, "x" * 17, "x" * 64, "x" * 65, "\u00e9" * 64, "\U0001f480" * 64,
    "x" * 3000, "a\0b", "../../etc/passwd", "s",
)  # fmt: skip
RAWS = tuple(
    Raw(one)
    for one in (
        b"\xc1",  # the one byte that msgpack never uses
        b"\xc7\x00\x05", b"\xc7\x03\x01abc", b"\xd4\x01\x00", b"\xd8\x7f" + bytes(16),
        b"\xd6\xff\x00\x00\x00\x01", b"\xd7\xff" + b"\xff" * 8, b"\xc7\x0c\xff" + b"\xff" * 12,
        b"\xa2\xff\xfe", b"\xa3\xed\xa0\x80", b"\xa2\xc0\x80",  # no UTF-8
        b"\xdb\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01", b"\xdc\xff\xff",
        b"\xdf\x00\x00\x00\x00",
        b"\x91" * 30 + b"\xc0", b"\x91" * 1200 + b"\xc0", b"\x81\xa1k" * 200 + b"\xc0",
    )
)  # fmt: skip
KEYS = (
    "type", "stream", "seq", "rows", "columns", "dtype", "facts", "mode", "deadline_ms", "slot",
    "capture_time", "versions", "transports", "modality", "bits_stored", "signed", "photometric",
    "slope", "intercept", "padding", "frame_bytes", "address", "more", "", "x" * 300,
)  # fmt: skip
SIZES = (0, 1, 2, 767, 769, 1535, 4096, 70_000)


def mutated(header: Pairs, pixels: bytes | None, rng: random.Random) -> Message:
    """One to three mutations of a message's tree, then sometimes one of its bytes or its parts."""
    tree = _copy(header)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(_OF_TREES)(tree, rng)
    raw = Writer(rng, rng.choice((0.0, 0.0, 0.3))).write(tree)
    if rng.random() < 0.15:
        raw = rng.choice(_OF_BYTES)(raw, rng)
    parts = [raw] if pixels is None else [raw, pixels]
    if rng.random() < 0.15:
        parts = rng.choice(_OF_PARTS)(parts, rng)
    return parts


def _copy(tree: Any) -> Any:
    if type(tree) is Pairs:
        return Pairs((key, _copy(value)) for key, value in tree)
    return [_copy(one) for one in tree] if type(tree) is list else tree


def hostile(rng: random.Random, depth: int = 0) -> Any:
    """Some value that a field may hold and hardly ever should."""
    kind = rng.randrange(12)
    if kind < 3:
        return rng.choice(BORDERS)
    if kind < 5:
        return rng.choice(FLOATS)
    if kind < 8:
        return rng.choice(WORDS)
    if kind == 8:
        return rng.choice(RAWS)
    if kind == 9:
        return rng.choice((None, True, False, b"", b"CT", rng.randbytes(20)))
    if depth > 2:
        return None
    if kind == 10:
        return [hostile(rng, depth + 1) for _ in range(rng.choice((0, 1, 2, 3, 20)))]
    return Pairs(
        (rng.choice(KEYS) if rng.random() < 0.8 else hostile(rng, 3), hostile(rng, depth + 1))
        for _ in range(rng.choice((0, 1, 2, 18)))
    )


# Of trees: each changes a map in place.


def _place(tree: Pairs, rng: random.Random) -> tuple[Any, int]:
    """A map or array within the tree, and an index in it."""
    here: Any = tree
    while True:
        at = rng.randrange(len(here)) if here else -1
        inner = (here[at][1] if type(here) is Pairs else here[at]) if here else None
        if type(inner) in (Pairs, list) and inner and rng.random() < 0.7:
            here = inner
            continue
        return here, at


def _set(here: Any, at: int, value: Any) -> None:
    if at < 0:
        return
    here[at] = (here[at][0], value) if type(here) is Pairs else value


def _value(tree: Pairs, rng: random.Random) -> None:
    _set(*_place(tree, rng), hostile(rng))


def _near(tree: Pairs, rng: random.Random) -> None:
    """A value of the right type: what passes the decoder and has to be judged."""
    here, at = _place(tree, rng)
    if at < 0:
        return
    old = here[at][1] if type(here) is Pairs else here[at]
    if isinstance(old, bool):
        _set(here, at, not old)
    elif isinstance(old, int):
        _set(here, at, rng.choice((rng.choice(BORDERS), old + rng.choice((-1, 1)), float(old))))
    elif isinstance(old, float):
        _set(here, at, rng.choice(FLOATS))
    elif isinstance(old, str):
        _set(here, at, rng.choice(WORDS))
    else:
        _set(here, at, hostile(rng))


def _drop(tree: Pairs, rng: random.Random) -> None:
    here, at = _place(tree, rng)
    if at >= 0:
        del here[at]


def _twice(tree: Pairs, rng: random.Random) -> None:
    here, at = _place(tree, rng)
    if at >= 0:
        again = here[at]
        if type(here) is Pairs and rng.random() < 0.5:
            again = (again[0], hostile(rng))
        here.insert(rng.randrange(len(here) + 1), again)


def _rename(tree: Pairs, rng: random.Random) -> None:
    here, at = _place(tree, rng)
    if at >= 0 and type(here) is Pairs:
        key = rng.choice(KEYS) if rng.random() < 0.7 else hostile(rng, 3)
        here[at] = (key, here[at][1])


def _shuffle(tree: Pairs, rng: random.Random) -> None:
    rng.shuffle(_place(tree, rng)[0])


def _more(tree: Pairs, rng: random.Random) -> None:
    """Unknown keys, which change nothing, or one that is known."""
    here = _place(tree, rng)[0]
    key = rng.choice(KEYS) if rng.random() < 0.5 else "k" + str(rng.randrange(99))
    new = (key, hostile(rng)) if type(here) is Pairs else hostile(rng)
    here.insert(rng.randrange(len(here) + 1), new)


def _to_the_limit(tree: Pairs, rng: random.Random) -> None:
    """A header of just about 4,096 bytes."""
    size = len(Writer(rng).write(tree))
    missing = 4096 - size - len(b"\xa4more\xda\x00\x00") + rng.choice((-1, 0, 1))
    if missing >= 256:
        tree.append(("more", "x" * missing))


def _same(tree: Pairs, rng: random.Random) -> None:
    """Nothing: the same meaning, perhaps in other bytes."""


_OF_TREES: tuple[Callable[[Pairs, random.Random], None], ...] = (
    _value, _value, _near, _near, _near, _near, _near, _drop, _twice,
    _rename, _shuffle, _more, _to_the_limit, _same,
)  # fmt: skip


# Of bytes.


def _cut(raw: bytes, rng: random.Random) -> bytes:
    return raw[: rng.randrange(len(raw) + 1)]


def _flip(raw: bytes, rng: random.Random) -> bytes:
    changed = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice((0, 255, rng.randrange(256)))
    return bytes(changed)


def _rubbish_after(raw: bytes, rng: random.Random) -> bytes:
    return raw + rng.choice((b"\x00", b"\xc0", raw, rng.randbytes(9)))


def _insert(raw: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(raw) + 1)
    return raw[:at] + rng.choice((rng.randbytes(rng.randint(1, 30)), *RAWS)) + raw[at:]


def _remove(raw: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(raw) + 1)
    return raw[:at] + raw[at + rng.randint(1, 9) :]


_OF_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _cut, _flip, _flip, _rubbish_after, _insert, _remove,
)  # fmt: skip


# Of parts.


def _no_pixels(parts: Message, rng: random.Random) -> Message:
    return parts[:1]


def _other_size(parts: Message, rng: random.Random) -> Message:
    return [parts[0], bytes(rng.choice(SIZES))]


def _more_parts(parts: Message, rng: random.Random) -> Message:
    return parts + [rng.randbytes(rng.randrange(40)) for _ in range(rng.choice((1, 2, 30)))]


def _turned(parts: Message, rng: random.Random) -> Message:
    return parts[::-1]


def _empty_first(parts: Message, rng: random.Random) -> Message:
    return [b"", *parts]


_OF_PARTS: tuple[Callable[[Message, random.Random], Message], ...] = (
    _no_pixels, _other_size, _other_size, _more_parts, _turned, _empty_first,
)  # fmt: skip
