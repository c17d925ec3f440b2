"""What the C client makes of answers that the wire does not allow."""

from __future__ import annotations

from typing import Any

import pytest

from compiled_client import LOST, joined, pattern
from daemons import WELCOME, Answer, pretender, result_for
from scanside.runtime import wire


def lies(message: dict[str, Any], pixels: bytes) -> dict[str, list[Any]]:
    """Answers to a FRAME that no daemon may give."""
    good = result_for(message)
    return {
        "another frame's": [good | {"seq": 77}, pixels],
        "another stream's": [good | {"stream": "s"}, pixels],
        "rows": [good | {"rows": 15}, pixels],
        "columns": [good | {"columns": 25}, pixels],
        "a scale that no model has": [
            good | {"scale": 3, "rows": 48, "columns": 72},
            pixels * 9,
        ],
        "dtype": [good | {"dtype": "int16"}, pixels],
        "scale": [good | {"scale": 2}, pixels],
        "scale 0": [good | {"scale": 0, "rows": 0, "columns": 0}, b""],
        "a scale that overflows": [good | {"scale": 2**63}, pixels],
        "scale of a bypass": [
            good | {"scale": 2, "rows": 32, "columns": 48, "outcome": "bypassed", "reason": "late"},
            pixels * 4,
        ],
        "unanswered": [good | {"outcome": "unanswered"}, pixels],
        "refused, with pixels": [good | {"outcome": "refused", "reason": "malformed"}, pixels],
        "refused for a reason of bypasses": [good | {"outcome": "refused", "reason": "late"}],
        "an unknown reason": [good | {"outcome": "bypassed", "reason": "tired"}, pixels],
        "no pixels": [good],
        "too few pixels": [good, pixels[1:]],
        "too many parts": [good, pixels, pixels],
        "no seq": [{key: value for key, value in good.items() if key != "seq"}, pixels],
        "a negative seq": [good | {"seq": -1}, pixels],
        "an unknown type": [good | {"type": "RESULTS"}, pixels],
        "a list": [[1, 2, 3]],
        "a header over the limit": [good | {"more": "x" * wire.HEADER_LIMIT}, pixels],
        "an error": [{"type": "ERROR", "code": "no session", "text": "x"}],
        "an unknown error": [{"type": "ERROR", "code": "%s%n", "text": "%s"}],
        "a welcome of another version": [WELCOME | {"version": 2}],
        "a welcome without credit": [WELCOME | {"credit": 0}],
        "a welcome for no time": [WELCOME | {"silence_s": float("nan")}],
    }


NAMES = list(lies(result_for({"stream": "", "seq": 0, "rows": 1, "columns": 1, "dtype": ""}), b""))


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_the_wire_does_not_allow_ends_the_session(start: Any, name: str) -> None:
    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        if message["type"] != "FRAME":
            return []
        return (
            [lies(message, parts[0])[name]]
            if message["seq"] == 2
            else [[result_for(message), *parts]]
        )

    with pretender(answer) as url:
        sent = start(url, 6)()
    assert (sent.code, sent.words) == (LOST, ["enhanced"] * 2 + ["unanswered"] * 4), sent.errors
    assert sent.pixels == joined([pattern(seq) for seq in range(6)])
    assert sent.reasons == ["-"] * 6


def test_two_results_for_one_frame_end_the_session(start: Any) -> None:
    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        result = [result_for(message), *parts] if message["type"] == "FRAME" else []
        return [result, result] if result else []

    with pretender(answer) as url:
        assert start(url, 3)().code == LOST
