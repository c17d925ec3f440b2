"""The wire's words and bytes, without a socket."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq

from daemons import FACTS, frame_header
from scanside.runtime import FrameFacts, admission, wire
from scanside.runtime.errors import ProtocolError

MESSAGES = [
    wire.Hello(versions=(1, 2)),
    wire.Frame(stream="s", seq=3, rows=2, columns=2, dtype="int16", facts=FACTS, deadline_ms=5.0),
    wire.MemoryRequest(frame_bytes=4096, address="scanside-0"),
    wire.StatusRequest(),
    wire.Ping(),
    wire.Pong(),
    wire.Bye(),
]
ANSWERS = [
    wire.Welcome(version=1, session="a", state="READY", model=None, credit=4, silence_s=60.0),
    wire.Result(
        stream="s",
        seq=3,
        outcome=wire.Outcome.BYPASSED,
        reason=wire.Reason.LATE,
        rows=2,
        columns=2,
        dtype="int16",
        scale=1,
        model="m",
        engine="e",
        signed=True,
    ),
    wire.Memory(slots=8, frame_bytes=4096, result_bytes=16384),
    wire.Status(state="READY", model=None, counters=wire.Counters(enhanced=2), uptime_s=1.0),
    wire.Ping(),
    wire.Pong(),
    wire.Bye(),
    wire.Error(code=wire.ErrorCode.UNREADABLE, text="no"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_what_a_client_says_comes_through(message: wire.FromClient) -> None:
    assert wire.decode_from_client(zmq.Frame(wire.encode(message))) == message


@pytest.mark.parametrize("message", ANSWERS, ids=lambda m: type(m).__name__)
def test_what_a_daemon_says_comes_through(message: wire.FromDaemon) -> None:
    assert wire.decode_from_daemon(zmq.Frame(wire.encode(message))) == message


def test_a_header_is_a_plain_map_with_the_documented_keys() -> None:
    header = msgspec.msgpack.decode(wire.encode(MESSAGES[1]))
    assert header == frame_header(
        np.zeros((2, 2), np.int16),
        seq=3,
        mode="lossless",
        deadline_ms=5.0,
        capture_time=None,
        slot=None,
    ) | {"facts": msgspec.to_builtins(FACTS)}


def test_unknown_keys_are_ignored() -> None:
    raw = msgspec.msgpack.encode({"type": "HELLO", "versions": [1], "colour": "red"})
    assert wire.decode_from_client(zmq.Frame(raw)) == wire.Hello(versions=(1,))


def test_a_header_over_the_limit_is_neither_read_nor_written() -> None:
    padded = msgspec.msgpack.encode({"type": "PING", "padding": "x" * wire.HEADER_LIMIT})
    with pytest.raises(ProtocolError, match="over 4096"):
        wire.decode_from_client(zmq.Frame(padded))
    with pytest.raises(ProtocolError, match="over 4096"):
        wire.encode(wire.Error(code=wire.ErrorCode.UNREADABLE, text="x" * wire.HEADER_LIMIT))


@pytest.mark.parametrize(
    "changes", [{"stream": "s" * 65}, {"seq": -1}, {"dtype": "x" * 17}, {"mode": "sometimes"}]
)
def test_a_frame_whose_echo_could_not_be_sent_is_unreadable(changes: dict[str, object]) -> None:
    raw = msgspec.msgpack.encode(frame_header(np.zeros((2, 2), np.uint8)) | changes)
    with pytest.raises(ProtocolError):
        wire.decode_from_client(zmq.Frame(raw))


def test_the_longest_result_fits_into_a_header() -> None:
    card = wire.ModelCard(
        name="n" * 64,
        version="9" * 32,
        identity="f" * 64,
        modality=tuple(f"{i:016}" for i in range(64)),
        scale=2,
        signed=True,
        engine="e" * 64,
    )
    wire.encode(
        wire.Welcome(version=1, session="s", state="READY", model=card, credit=64, silence_s=1)
    )


def test_the_reasons_are_a_closed_list() -> None:
    assert {reason.value for reason in wire.Reason} == {
        "late", "superseded", "engine error", "guard", "not ready", "draining",
        "malformed", "over credit", "too large", "wrong modality", "duplicate",
    }  # fmt: skip


def test_admission_speaks_the_wires_words() -> None:
    source = Path(admission.__file__).read_text()
    words = re.findall(r'RefusedFrameError\(\s*"([^"]+)"', source)
    assert words
    for word in words:
        wire.Reason(word)


@pytest.mark.parametrize(
    ("rows", "columns", "dtype", "size"),
    [
        (3, 5, "uint16", 30),
        (3, 5, "int8", 15),
        (0, 5, "uint8", None),
        (-3, -5, "uint8", None),
        (3, 5, "float32", None),
        (3, 5, "object", None),
        (2**40, 2**40, "uint16", 2**81),
    ],
)
def test_pixel_bytes(rows: int, columns: int, dtype: str, size: int | None) -> None:
    assert wire.pixel_bytes(rows, columns, dtype) == size


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_pixels_travel_little_endian_in_c_order(dtype: str, order: str, endian: str) -> None:
    values = np.arange(-6, 6).reshape(3, 4).astype(dtype)
    held = np.array(values, dtype=np.dtype(dtype).newbyteorder(endian), order=order)  # type: ignore[call-overload]
    raw = wire.to_wire(held).tobytes()
    assert raw == values.astype(np.dtype(dtype).newbyteorder("<")).tobytes("C")
    back = wire.from_wire(zmq.Frame(raw), 3, 4, dtype)
    np.testing.assert_array_equal(back, values)
    assert back.dtype == np.dtype(dtype)
    assert not back.flags.writeable


def test_pixels_received_at_an_odd_address_are_aligned_for_the_engine() -> None:
    values = np.arange(12, dtype=np.uint16).reshape(3, 4)
    held = bytearray(b"x" + values.tobytes())
    part = zmq.Frame(memoryview(held)[1:], copy=False)
    assert not np.frombuffer(part.buffer, np.uint16).flags.aligned
    back = wire.from_wire(part, 3, 4, "uint16")
    assert back.flags.aligned
    np.testing.assert_array_equal(back, values)


def test_the_document_lists_every_word() -> None:
    text = (Path(__file__).parents[2] / "docs" / "wire-v1.md").read_text()
    for words in (wire.Outcome, wire.Reason, wire.ErrorCode, wire.Mode):
        for word in words:
            assert f"`{word.value}`" in text, word
    for message in (wire.Welcome, wire.Frame, wire.Result, wire.Status, FrameFacts):
        for name in message.__struct_fields__:
            assert name in text, name
