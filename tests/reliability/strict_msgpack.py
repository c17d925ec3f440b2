"""Reads msgpack as the specification has it, for the fuzzer's oracle: no code of the daemon's.

A map becomes a list of its pairs, so that a key that stands twice is seen. Extension types become
`Odd`, text that is no UTF-8 `BadText`: whole, but no value that any field may hold.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple


class UnreadableError(Exception):
    """Not one whole value."""


class Map(NamedTuple):
    pairs: list[tuple[Any, Any]]


class Odd(NamedTuple):
    raw: bytes


class BadText(NamedTuple):
    raw: bytes


def read(data: bytes) -> Any:
    """The one value that `data` is. Raises UnreadableError for less, more, and the byte 0xc1."""
    value, end = _value(data, 0)
    if end != len(data):
        raise UnreadableError
    return value


_NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_LAYOUTS = (">B", ">H", ">I")
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


def _value(data: bytes, at: int) -> tuple[Any, int]:
    if at >= len(data):
        raise UnreadableError
    word = data[at]
    at += 1
    if word < 0x80:
        return word, at
    if word >= 0xE0:
        return word - 256, at
    if word < 0x90:
        return _map(data, at, word & 15)
    if word < 0xA0:
        return _array(data, at, word & 15)
    if word < 0xC0:
        return _text(data, at, word & 31)
    if word in _CONSTANTS:
        return _CONSTANTS[word], at
    if word in _NUMBERS:
        return _number(data, at, _NUMBERS[word])
    if 0xC4 <= word <= 0xC6:
        length, at = _number(data, at, _LAYOUTS[word - 0xC4])
        return _bytes(data, at, length)
    if 0xC7 <= word <= 0xC9:
        length, at = _number(data, at, _LAYOUTS[word - 0xC7])
        raw, at = _bytes(data, at, length + 1)
        return Odd(raw), at
    if 0xD4 <= word <= 0xD8:
        raw, at = _bytes(data, at, (1 << (word - 0xD4)) + 1)
        return Odd(raw), at
    if 0xD9 <= word <= 0xDB:
        length, at = _number(data, at, _LAYOUTS[word - 0xD9])
        return _text(data, at, length)
    if 0xDC <= word <= 0xDF:
        length, at = _number(data, at, _LAYOUTS[1 + (word & 1)])
        return (_array if word < 0xDE else _map)(data, at, length)
    raise UnreadableError


def _number(data: bytes, at: int, layout: str) -> tuple[Any, int]:
    end = at + struct.calcsize(layout)
    if end > len(data):
        raise UnreadableError
    return struct.unpack_from(layout, data, at)[0], end


def _bytes(data: bytes, at: int, length: int) -> tuple[bytes, int]:
    if at + length > len(data):
        raise UnreadableError
    return data[at : at + length], at + length


def _text(data: bytes, at: int, length: int) -> tuple[Any, int]:
    raw, at = _bytes(data, at, length)
    try:
        return raw.decode(), at
    except UnicodeDecodeError:
        return BadText(raw), at


def _array(data: bytes, at: int, length: int) -> tuple[Any, int]:
    found = []
    for _ in range(length):
        value, at = _value(data, at)
        found.append(value)
    return found, at


def _map(data: bytes, at: int, length: int) -> tuple[Any, int]:
    found = []
    for _ in range(length):
        key, at = _value(data, at)
        value, at = _value(data, at)
        found.append((key, value))
    return Map(found), at
