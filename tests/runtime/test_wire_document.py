"""docs/wire-v1.md says what the code does: its tables are read and compared."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from conftest import REPOSITORY

from scanside.runtime import FrameFacts, wire
from scanside.runtime.daemon import mailroom, reception, register, server, sessions, sharing
from scanside.runtime.daemon.states import State
from scanside.runtime.frame import PIXEL_DTYPES
from scanside.runtime.results import MAX_STREAM_NAME

PAGE = (REPOSITORY / "docs" / "wire-v1.md").read_text()
KEYS: dict[str, Any] = {
    "HELLO": wire.Hello,
    "WELCOME": wire.Welcome,
    "FRAME": wire.Frame,
    "MEMORY asked": wire.MemoryRequest,
    "MEMORY": wire.Memory,
    "facts": FrameFacts,
    "RESULT": wire.Result,
    "STATUS": wire.Status,
    "ERROR": wire.Error,
}


def section(title: str) -> str:
    return re.split(rf"^##+ {re.escape(title)}$", PAGE, flags=re.M)[1].split("\n#")[0]


def rows(title: str, table: int = 0) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    found = re.findall(r"(?:^\|.*\n)+", section(title) + "\n", re.M)[table]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()][
        2:
    ]


def words(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("title", KEYS)
def test_every_key_is_there_with_its_default(title: str) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(KEYS[title])}
    table = {words(row[0])[0]: row for row in rows(title)}
    assert list(table) == list(fields)
    for name, field in fields.items():
        said = table[name][2].strip("`").replace("nil", "null").replace("zeros", "{}")
        if field.required:
            assert not said, name
        elif said == "{}":
            assert set(words(table[name][3])) == set(type(field.default).__struct_fields__)
            assert field.default == type(field.default)()
        else:
            assert msgspec.json.encode(field.default) == msgspec.json.encode(
                msgspec.json.decode(said)
            ), name


def test_the_messages_are_those_of_the_code() -> None:
    said = [set(words(row[side])) for side in (0, 1) for row in rows("Messages")]
    unions = (wire.FromClient, wire.FromDaemon)
    half = len(said) // 2
    for part, union in zip((said[:half], said[half:]), unions, strict=True):
        assert set().union(*part) == {one.__struct_config__.tag for one in union.__args__}


def test_the_closed_lists_are_those_of_the_code() -> None:
    outcomes = {words(row[0])[0]: words(row[2]) for row in rows("Outcomes")}
    assert list(outcomes) == [outcome.value for outcome in wire.Outcome]
    listed = outcomes["bypassed"] + outcomes["refused"]
    assert listed == [reason.value for reason in wire.Reason]
    explained = [words(row[0])[0] for row in rows("Outcomes", 1)]
    assert list(dict.fromkeys(explained)) == listed
    codes = [words(row[0])[0] for row in rows("Errors")]
    assert list(dict.fromkeys(codes)) == [code.value for code in wire.ErrorCode]
    frame = {words(row[0])[0]: words(row[1] + row[3]) for row in rows("FRAME")}
    assert frame["mode"] == [mode.value for mode in wire.Mode]
    assert frame["dtype"] == list(PIXEL_DTYPES)
    states = {words(row[0])[0]: words(row[3]) for row in rows("WELCOME")}["state"]
    assert states == [state.value for state in State]
    card = re.search(r"A model card is a map: (.*?)\n\n", PAGE, re.S)
    assert card is not None
    assert words(card[1]) == list(wire.ModelCard.__struct_fields__)
    counters = {words(row[0])[0]: words(row[3]) for row in rows("STATUS")}["counters"]
    assert set(counters) == set(wire.Counters.__struct_fields__)


def test_the_texts_are_those_of_the_code() -> None:
    source = "".join(
        (REPOSITORY / "runtime" / name).read_text()
        for name in ("wire/codec.py", "daemon/reception.py", "daemon/register.py")
    )
    told = [row[2] for row in rows("Outcomes", 1)] + [row[2] for row in rows("Errors")]
    fixed = {
        text
        for cell in told
        for text in cell.split("; ")
        if text and text != "what is wrong" and not re.search(r"\b(N|1|64)\b", text)
    }
    assert len(fixed) == 8
    for text in fixed:
        assert f'"{text}"' in source, text


def test_the_limits_are_those_of_the_code() -> None:
    said = [int(re.findall(r"[\d,]+", row[1])[0].replace(",", "")) for row in rows("Limits")]
    assert said == [
        wire.HEADER_LIMIT,
        wire.PIXELS_LIMIT,
        wire.DEADLINE_LIMIT_MS,
        MAX_STREAM_NAME,
        sessions.MAX_STREAMS,
        register.MAX_SESSIONS,
        reception.QUEUE_BYTES,
        sharing.SESSION_BYTES,
        sharing.ALL_BYTES,
        server.CREDIT,
        server.SILENCE_S,
    ]
    kept = re.search(r"TCP connection every (\d+) s, and drops .* for\s+(\d+) s", PAGE, re.S)
    assert kept is not None
    assert [int(one) for one in kept.groups()] == [
        mailroom.KEEPALIVE_S,
        mailroom.KEEPALIVE_S * mailroom.KEEPALIVES,
    ]
    assert f"twice\n  credit + {mailroom.SEND_ROOM} messages" in PAGE
    assert wire.LAG == 2
