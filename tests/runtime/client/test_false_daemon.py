"""What the client makes of answers that the wire does not allow."""

from __future__ import annotations

from typing import Any

import pytest

from daemons import FACTS, WELCOME, Answer, frame, pretender, result_for
from scanside.runtime import Client
from scanside.runtime.errors import ProtocolError, ServerUnreachableError

BAD_RESULTS: dict[str, dict[str, Any]] = {
    "another frame's": {"seq": 77},
    "rows": {"rows": 15},
    "dtype": {"dtype": "int16"},
    "scale": {"scale": 2},
    "scale of a bypass": {"scale": 2, "rows": 32, "columns": 48, "outcome": "bypassed"},
    "scale 0": {"scale": 0, "rows": 0, "columns": 0},
    "unanswered": {"outcome": "unanswered"},
    "refused, with pixels": {"outcome": "refused"},
    "an unknown outcome": {"outcome": "improved"},
    "an unknown reason": {"outcome": "bypassed", "reason": "tired"},
    "not a message": {"type": "RESULTS"},
}


@pytest.mark.parametrize("changes", BAD_RESULTS.values(), ids=BAD_RESULTS)
def test_a_result_that_does_not_fit_its_frame_is_a_protocol_error(changes: dict[str, Any]) -> None:
    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        if message["type"] != "FRAME":
            return []
        return [[result_for(message, **changes), *parts]]

    with pretender(answer) as url, Client(url) as client, pytest.raises(ProtocolError):
        client.enhance(frame(0), FACTS)


@pytest.mark.parametrize("pixels", [[], [b""], [frame(0).tobytes()[1:]]])
def test_pixels_that_do_not_match_their_result_are_a_protocol_error(pixels: list[bytes]) -> None:
    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        return [[result_for(message), *pixels]] if message["type"] == "FRAME" else []

    with pretender(answer) as url, Client(url) as client, pytest.raises(ProtocolError):
        client.enhance(frame(0), FACTS)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (WELCOME | {"version": 2}, ProtocolError),
        ({"type": "ERROR", "code": "no common version", "text": "speaks 2"}, ProtocolError),
        ({"type": "ERROR", "code": "busy", "text": "full"}, ServerUnreachableError),
        ({"type": "WELCOME"}, ProtocolError),
        ([1, 2], ProtocolError),
    ],
)
def test_a_peer_that_is_no_daemon_of_ours_is_told_apart(answer: Any, error: type) -> None:
    with pretender(lambda message, parts: [[answer]]) as url, pytest.raises(error):
        Client(url, timeout=1.0)


def test_a_bypass_that_claims_another_scale_is_a_protocol_error() -> None:
    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        if message["type"] != "FRAME":
            return []
        changes = {"outcome": "bypassed", "reason": "late", "scale": 2, "rows": 32, "columns": 48}
        return [[result_for(message, **changes), parts[0] * 4]]

    with pretender(answer) as url, Client(url) as client, pytest.raises(ProtocolError):
        client.enhance(frame(0), FACTS)


def test_after_a_protocol_error_there_is_a_new_session() -> None:
    said: list[str] = []

    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        said.append(message["type"])
        if message["type"] != "FRAME":
            return []
        changes = {"rows": 1} if said.count("FRAME") == 1 else {}
        return [[result_for(message, **changes), parts[0]]]

    with pretender(answer) as url, Client(url) as client:
        with pytest.raises(ProtocolError):
            client.enhance(frame(0), FACTS)
        assert client.enhance(frame(0), FACTS).outcome == "enhanced"
    assert said[:4] == ["HELLO", "FRAME", "HELLO", "FRAME"]
