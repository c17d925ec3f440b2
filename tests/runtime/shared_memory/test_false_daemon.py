"""What the client makes of a daemon that lies about memory."""

from __future__ import annotations

import os
from typing import Any

import pytest

from daemons import FACTS, WELCOME, Answer, Peer, frame, pretender, result_for
from scanside.runtime import Client
from scanside.runtime.errors import ProtocolError
from scanside.runtime.memory.handover import Letterbox, hand_over
from scanside.runtime.memory.ring import Ring, new_memory
from scanside.runtime.wire import Outcome

SHARING = WELCOME | {"transports": ["inline", "shm"]}


def lying(tell: Any) -> Any:
    """A pretender's answers: shares 8 slots truly unless `tell` says otherwise, and then gives the
    changes of `tell` to a result."""

    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        if message["type"] == "HELLO":
            return [[SHARING]]
        if message["type"] == "MEMORY":
            sizes = message["frame_bytes"], 4 * message["frame_bytes"]
            memory = new_memory(Ring.size(8, *sizes))
            assert hand_over(memory, message["address"], tell.get("word", "s"))
            os.close(memory)
            told = {"type": "MEMORY", "slots": tell.get("slots", 8)}
            return [[told | {"frame_bytes": sizes[0], "result_bytes": sizes[1]}]]
        if message["type"] != "FRAME":
            return []
        slot = tell.get("slot", lambda slot: slot)(message["slot"])
        return [[result_for(message, **tell.get("result", {}), slot=slot), *tell.get("parts", [])]]

    return answer


@pytest.mark.parametrize(
    "tell",
    [
        {"slots": 7},
        {"slots": 2**40},
        {"slot": lambda slot: slot + 1},
        {"slot": lambda slot: -1},
        {"slot": lambda slot: None},
        {"parts": [b"\0" * 768]},
        {"result": {"outcome": "bypassed", "reason": "late", "scale": 2}},
        {"result": {"scale": 4, "rows": 64, "columns": 96}},
        {"result": {"outcome": "refused", "reason": "malformed"}},
    ],
)
def test_a_daemon_that_lies_about_memory_is_not_believed(tell: dict[str, Any]) -> None:
    with (
        pretender(lying(tell)) as url,
        Client(url, timeout=1.0) as client,
        pytest.raises(ProtocolError),
    ):
        client.enhance(frame(0), FACTS)


def test_memory_that_nobody_asked_for_is_not_believed() -> None:
    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        if message["type"] == "STATUS":
            return [[{"type": "MEMORY", "slots": 1, "frame_bytes": 768, "result_bytes": 768}]]
        return []

    with (
        pretender(answer) as url,
        Client(url, timeout=1.0) as client,
        pytest.raises(ProtocolError, match="nobody asked"),
    ):
        client.status()


def test_memory_that_never_came_leaves_messages() -> None:
    with (
        pretender(lying({"word": "another", "parts": [frame(0).tobytes()]})) as url,
        Client(url, timeout=1.0) as client,
    ):
        assert client.enhance(frame(0), FACTS).outcome is Outcome.ENHANCED
        assert client.transport == "inline"


def test_who_did_not_offer_to_share_gets_nothing(url: str) -> None:
    box = Letterbox()
    with Peer(url) as peer:
        asked = {"type": "MEMORY", "frame_bytes": 768, "address": box.address}
        assert peer.welcome["transports"] == ["inline"]
        assert peer.ask(asked)["slots"] == 0
    box.close()
