"""The one zip layout that a bundle has: stored members, back to back, every byte determined.

A bundle can be looked into with any unzip, but the reader does not read zips in general: names
and data decide every other byte of the file (timestamps, attributes, the central directory), so
`read_members` compares them all with what `write_members` would have written. Compression,
encryption, extra fields, links, comments, overlaps, gaps, zip64 and anything before or after the
archive are refused for being different, not by a check of their own.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from scanside.runtime.errors import (
    BundleFormatError,
    BundleIntegrityError,
    BundleTooLargeError,
)

MAX_MEMBERS = 64
MAX_NAME_BYTES = 128

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_STORED = 0
_ZIP_2_0 = 20
_MADE_BY_UNIX = 3 << 8 | _ZIP_2_0
_MIDNIGHT, _DAY_ONE = 0, 0 << 9 | 1 << 5 | 1  # 1980-01-01: equal content, equal bytes
_REGULAR_FILE = 0o100644 << 16

_COPY_AGAIN = "copy the file again from where it was compiled"


def _local(name: bytes, crc: int, size: int) -> bytes:
    return _LOCAL.pack(
        _LOCAL_SIGNATURE, _ZIP_2_0, 0, _STORED, _MIDNIGHT, _DAY_ONE, crc, size, size, len(name), 0
    )


def _directory(entries: list[tuple[bytes, int, int]]) -> bytes:
    """Central directory and end record of (name, crc, size) entries that lie back to back."""
    records = []
    offset = 0
    for name, crc, size in entries:
        fixed = (b"PK\x01\x02", _MADE_BY_UNIX, _ZIP_2_0, 0, _STORED, _MIDNIGHT, _DAY_ONE)
        rest = (crc, size, size, len(name), 0, 0, 0, 0, _REGULAR_FILE, offset)
        records.append(_CENTRAL.pack(*fixed, *rest) + name)
        offset += _LOCAL.size + len(name) + size
    central = b"".join(records)
    count = len(entries)
    return central + _END.pack(b"PK\x05\x06", 0, 0, count, count, len(central), offset, 0)


def write_members(stream: BinaryIO, members: Iterable[tuple[str, bytes]]) -> None:
    """Write (name, data) pairs as a whole archive, in their order."""
    entries = []
    for name, data in members:
        entry = (name.encode("ascii"), zlib.crc32(data), len(data))
        stream.write(_local(*entry) + entry[0])
        stream.write(data)
        entries.append(entry)
    stream.write(_directory(entries))


def read_members(
    stream: BinaryIO, size: int, cap: Callable[[str], int]
) -> Iterator[tuple[str, bytes]]:
    """Yield (name, data) of an archive of `size` bytes, in order, each byte read once.

    cap: gives the most bytes that a member of this name may have, or raises; asked before memory
    is taken for the member. The details of a member's header are compared after the member was
    handed over, so that a caller can tell a future format by the first member.

    Raises BundleFormatError, BundleTooLargeError, or BundleIntegrityError for a wrong checksum.
    """
    entries: list[tuple[bytes, int, int]] = []
    left = size
    while True:
        header = stream.read(_LOCAL.size)
        left -= len(header)
        if len(header) < _LOCAL.size or not header.startswith(_LOCAL_SIGNATURE):
            break
        _, _, _, method, _, _, crc, length, _, name_length, _ = _LOCAL.unpack(header)
        if len(entries) == MAX_MEMBERS or name_length > MAX_NAME_BYTES:
            raise BundleTooLargeError(
                f"the bundle has over {MAX_MEMBERS} members, or names over {MAX_NAME_BYTES} bytes"
            )
        raw_name = stream.read(name_length)
        if method != _STORED or not raw_name.isascii():
            raise BundleFormatError("the bundle has a compressed or oddly named member")
        name = raw_name.decode("ascii")
        left -= name_length
        if length > cap(name):
            raise BundleTooLargeError(f"{name} is over its {cap(name)} bytes")
        if length > left:
            raise BundleFormatError("the bundle is truncated", next_step=_COPY_AGAIN)
        data = stream.read(length)
        left -= length
        if zlib.crc32(data) != crc:
            raise BundleIntegrityError(f"{name} is damaged", next_step=_COPY_AGAIN)
        yield name, data
        entries.append((raw_name, crc, length))
        if header != _local(*entries[-1]):
            raise BundleFormatError(f"the bundle's header of {name} is not as it must be")
    expected = _directory(entries)
    # One byte more than expected: anything that trails the archive shows as a difference.
    rest = header + stream.read(max(0, len(expected) + 1 - len(header)))
    if rest != expected:
        raise BundleFormatError("the file is not a whole Scanside bundle", next_step=_COPY_AGAIN)
