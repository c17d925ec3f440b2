"""Mutations of DICOM files that know their structure: elements, lengths, transfer syntaxes."""

from __future__ import annotations

import io
import random
import struct
import warnings
from collections.abc import Callable
from typing import NamedTuple

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

SYNTAXES = (
    ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless,
    DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1,
    JPEGLSLossless, "1.2.840.10008.1.2.4.999", "", "no syntax at all",
)  # fmt: skip
SYNTAX = b"\x02\x00\x10\x00UI"
GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"
LENGTHS = (0, 1, 2, 3, 0x7FFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
PIXEL_DATA = 0x7FE00010


class Layout(NamedTuple):
    """Of a file: where the values of its elements start, by tag; where Pixel Data's does."""

    values: dict[int, tuple[int, int]]
    pixels: int


def layout(whole: bytes) -> Layout:
    """Of a sound file; nothing is known of one that pydicom cannot parse."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(whole), force=True)
        except Exception:  # noqa: BLE001 - it is mutated all the same, as bytes
            return Layout({}, len(whole))
    values = {}
    for tag in dataset.keys():  # noqa: SIM118 - iterating the dataset itself would decode it
        element = dataset.get_item(tag)
        if isinstance(element, RawDataElement):
            values[int(tag)] = element.value_tell, element.length
    pixels, _ = values.get(PIXEL_DATA, (len(whole), 0))
    return Layout(values, pixels)


def mutated(whole: bytes, known: Layout, rng: random.Random) -> bytes:
    """One mutation, sometimes two."""
    for _ in range(rng.choice((1, 1, 2))):
        whole = rng.choice(_MUTATIONS)(whole, known, rng)
    return whole


def _cut(whole: bytes, known: Layout, rng: random.Random) -> bytes:
    return whole[: rng.choice((rng.randrange(len(whole) + 1), rng.randrange(400), len(whole) - 1))]


def _flip_header(whole: bytes, known: Layout, rng: random.Random) -> bytes:
    return _flip(whole, 0, min(known.pixels, len(whole)), rng)


def _flip_pixels(whole: bytes, known: Layout, rng: random.Random) -> bytes:
    return _flip(whole, min(known.pixels, len(whole)), len(whole), rng)


def _flip(whole: bytes, low: int, high: int, rng: random.Random) -> bytes:
    changed = bytearray(whole)
    for _ in range(rng.randint(1, 8) if high > low else 0):
        changed[rng.randrange(low, high)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _element(known: Layout, rng: random.Random, size: int) -> tuple[int, int] | None:
    within = [(at, length) for at, length in known.values.values() if 8 <= at <= size]
    return rng.choice(within) if within else None


def _length(whole: bytes, known: Layout, rng: random.Random) -> bytes:
    """The length before a value, as 2 or as 4 bytes."""
    element = _element(known, rng, len(whole))
    if element is None:
        return whole
    at, length = element
    value = rng.choice((*LENGTHS, length + 1, length + 2, abs(length - 2)))
    if rng.random() < 0.5:
        return whole[: at - 4] + struct.pack("<I", value & 0xFFFFFFFF) + whole[at:]
    return whole[: at - 2] + struct.pack("<H", value & 0xFFFF) + whole[at:]


def _value(whole: bytes, known: Layout, rng: random.Random) -> bytes:
    """Bytes of the same length in place of a value: numbers at their borders, rubbish, nothing."""
    element = _element(known, rng, len(whole))
    if element is None:
        return whole
    at, length = element
    length = min(length, 64, len(whole) - at)
    fill = rng.choice((b"\0", b"\xff", b"9", b"-", b"\\", b" ", rng.randbytes(1)))
    return whole[:at] + fill * length + whole[at + length :]


def _representation(whole: bytes, known: Layout, rng: random.Random) -> bytes:
    element = _element(known, rng, len(whole))
    if element is None:
        return whole
    at = element[0]
    word = rng.choice((b"UN", b"SQ", b"OW", b"DS", b"FD", b"US", b"PN", b"??", b"\0\0"))
    return whole[: at - 4] + word + whole[at - 2 :]


def _remove(whole: bytes, known: Layout, rng: random.Random) -> bytes:
    element = _element(known, rng, len(whole))
    if element is None:
        return whole
    at, length = element
    return whole[: at - 8] + whole[at + min(length, len(whole)) :]


def _repeat(whole: bytes, known: Layout, rng: random.Random) -> bytes:
    element = _element(known, rng, len(whole))
    if element is None:
        return whole
    at, length = element
    end = at + min(length, 1 << 16)
    return whole[:end] + whole[at - 8 : end] + whole[end:]


def _insert(whole: bytes, known: Layout, rng: random.Random) -> bytes:
    at = rng.randrange(len(whole) + 1) if rng.random() < 0.3 else rng.randrange(132, 2000)
    return whole[:at] + rng.randbytes(rng.randint(1, 30)) + whole[at:]


def _syntax(whole: bytes, known: Layout, rng: random.Random) -> bytes:
    """Another transfer syntax is told than the file is in."""
    at = whole.find(SYNTAX)
    if at < 0:
        return whole
    (length,) = struct.unpack_from("<H", whole, at + 6)
    word = str(rng.choice(SYNTAXES)).encode()
    word += b"\0" * (len(word) % 2)
    new = whole[: at + 6] + struct.pack("<H", len(word)) + word + whole[at + 8 + length :]
    group = new.find(GROUP_LENGTH)
    if group >= 0 and rng.random() < 0.9:
        (size,) = struct.unpack_from("<I", new, group + 8)
        size = max(0, size + len(word) - length)
        new = new[: group + 8] + struct.pack("<I", size) + new[group + 12 :]
    return new


Mutation = Callable[[bytes, Layout, random.Random], bytes]
_MUTATIONS: tuple[Mutation, ...] = (
    _cut, _flip_header, _flip_header, _flip_pixels, _length, _length, _value, _value,
    _representation, _remove, _repeat, _insert, _syntax,
)  # fmt: skip
