"""Writes msgpack in every form it allows, and in some that it does not.

An encoder of our own, because a proper one writes each value in one way only. A value is a tree of
None, bool, int, float, str, bytes, list, `Pairs` (a map that may hold a key twice, or keys that are
no text) and `Raw` (bytes as they are).
"""

from __future__ import annotations

import random
import struct
from typing import Any


class Raw(bytes):
    """Bytes that stand in the message as they are."""


class Pairs(list[tuple[Any, Any]]):
    """A map as a list of keys and values."""


def pairs(value: Any) -> Any:
    """The same tree with `Pairs` for dicts."""
    if isinstance(value, dict):
        return Pairs((key, pairs(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return [pairs(inner) for inner in value]
    return value


class Writer:
    """wider: how often a number or a length takes more bytes than need be, 0..1."""

    def __init__(self, rng: random.Random, wider: float = 0.0) -> None:
        self._random = rng.random
        self._wider = wider

    def write(self, value: Any) -> bytes:
        out = bytearray()
        self._put(out, value)
        return bytes(out)

    def _put(self, out: bytearray, value: Any) -> None:
        kind = type(value)
        if kind is str or kind is bytes:
            raw = value.encode("utf-8", "surrogatepass") if kind is str else value
            self._length(out, len(raw), *(_STR if kind is str else _BIN))
            out += raw
        elif kind is int:
            self._integer(out, value)
        elif kind is Pairs:
            self._length(out, len(value), *_MAP)
            for key, inner in value:
                self._put(out, key)
                self._put(out, inner)
        elif kind is float:
            if self._wide() and struct.unpack(">f", _float32(value))[0] == value:
                out += b"\xca" + _float32(value)
            else:
                out += b"\xcb" + struct.pack(">d", value)
        elif value is None:
            out.append(0xC0)
        elif kind is bool:
            out.append(0xC3 if value else 0xC2)
        elif kind is list:
            self._length(out, len(value), *_ARRAY)
            for inner in value:
                self._put(out, inner)
        else:
            out += value

    def _wide(self) -> bool:
        return self._wider > 0 and self._random() < self._wider

    def _length(
        self, out: bytearray, length: int, fix: int, fix_limit: int, forms: tuple[int, ...]
    ) -> None:
        """forms: the words for lengths of 8, 16 and 32 bits; 0 where there is none."""
        if length < fix_limit and not self._wide():
            out.append(fix | length)
            return
        for word, (limit, layout) in zip(forms, _LENGTHS, strict=True):
            if word and length < limit and not (limit < 1 << 32 and self._wide()):
                out.append(word)
                out += struct.pack(layout, length)
                return

    def _integer(self, out: bytearray, value: int) -> None:
        if -32 <= value < 128 and not self._wide():
            out += struct.pack(">b", value)
            return
        signed = value < 0 or (value < 1 << 63 and self._wide())
        for word, layout, low, high in _SIGNED if signed else _UNSIGNED:
            if low <= value < high and not (layout not in (">q", ">Q") and self._wide()):
                out.append(word)
                out += struct.pack(layout, value)
                return


def _float32(value: float) -> bytes:
    try:
        return struct.pack(">f", value)
    except OverflowError:
        return struct.pack(">f", 0.0)


_STR = (0xA0, 32, (0xD9, 0xDA, 0xDB))
_BIN = (0, 0, (0xC4, 0xC5, 0xC6))
_ARRAY = (0x90, 16, (0, 0xDC, 0xDD))
_MAP = (0x80, 16, (0, 0xDE, 0xDF))
_LENGTHS = ((1 << 8, ">B"), (1 << 16, ">H"), (1 << 32, ">I"))
_UNSIGNED = (
    (0xCC, ">B", 0, 1 << 8),
    (0xCD, ">H", 0, 1 << 16),
    (0xCE, ">I", 0, 1 << 32),
    (0xCF, ">Q", 0, 1 << 64),
)
_SIGNED = (
    (0xD0, ">b", -(1 << 7), 1 << 7),
    (0xD1, ">h", -(1 << 15), 1 << 15),
    (0xD2, ">i", -(1 << 31), 1 << 31),
    (0xD3, ">q", -(1 << 63), 1 << 63),
)
