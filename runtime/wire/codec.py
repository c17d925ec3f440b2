"""Messages and pixels to bytes, and back."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import numpy as np
import zmq

from scanside.runtime.errors import ProtocolError
from scanside.runtime.frame import PIXEL_DTYPES, Pixels
from scanside.runtime.wire.messages import FromClient, FromDaemon
from scanside.runtime.wire.words import HEADER_LIMIT

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
