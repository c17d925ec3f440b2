"""The short form of `make fuzz`, and the oracle held against the page's own vectors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from reliability import hostile_peer
from reliability.daemon_process import RESIDUAL, near_identity
from reliability.fuzz import CREDIT, WINDOW, fuzz
from reliability.hostile_peer import HostilePeer, Models, WrongAnswerError
from reliability.oracle import Due, Oracle, Rules, understand

from attacks.conversations import VECTORS, Conversation, conversation
from attacks.messages import Message
from daemons import WELCOME, Answer, frame, frame_header, pretender, result_for
from scanside.runtime.frame import Pixels

ANSWERS = json.loads(VECTORS.read_text())["answers"]
MESSAGES = {one["name"]: one for one in json.loads(VECTORS.read_text())["messages"]}
READY = [one for one in ANSWERS if one["while"] == "ready"]
EXPECTED = (
    "WELCOME", "STATUS", "PONG", "MEMORY", "ERROR: unreadable", "ERROR: no session", "enhanced",
    "bypassed: late", "bypassed: superseded", "refused: malformed", "refused: duplicate",
    "refused: over credit", "refused: wrong modality",
)  # fmt: skip
"""What a few thousand messages draw out of a daemon that does all that it should."""
HELLO = msgspec.msgpack.encode({"type": "HELLO", "versions": [1]})


def parts_of(pieces: list[Any]) -> Message:
    return [
        b"".join(
            bytes.fromhex(one) if isinstance(one, str) else bytes.fromhex(one[0]) * one[1]
            for one in part
        )
        for part in pieces
    ]


def word_of(answer: dict[str, Any]) -> str:
    if answer["type"] == "ERROR":
        return f"ERROR: {answer['code']}"
    if answer["type"] == "RESULT":
        reason = answer["reason"]
        return str(answer["outcome"]) + (f": {reason}" if reason else "")
    return str(answer["type"])


@pytest.mark.parametrize("vector", READY, ids=lambda one: one["name"])
def test_the_oracle_agrees_with_the_vectors(vector: dict[str, Any]) -> None:
    oracle = Oracle(Rules(credit=4, largest=8192))
    if vector["session"]:
        assert oracle.send([HELLO]) == "WELCOME"
    for name, is_answered in vector["before"]:
        said = MESSAGES[name]
        pixels = [bytes.fromhex(said["pixels"])] if "pixels" in said else []
        before = oracle.send([bytes.fromhex(said["header"]), *pixels])
        if is_answered and isinstance(before, Due):
            oracle.answered(before)
    due = oracle.send(parts_of(vector["parts"]))
    if vector["answer"] is None:
        assert due is None
    elif isinstance(due, Due):
        assert word_of(vector["answer"]) in due.allowed
    else:
        assert due == word_of(vector["answer"])


def test_conversations_are_the_same_every_time_and_cover_the_page() -> None:
    kinds: Counter[str] = Counter()
    for number in range(60):
        said = conversation(7, number, window=WINDOW)
        assert said == conversation(7, number, window=WINDOW)
        assert all(1 <= len(batch) <= WINDOW for batch in said.batches)
        for batch in said.batches:
            for parts in batch:
                message = understand(parts[0])
                kinds[message["type"] if message else "unreadable"] += 1
    assert set(kinds) == {
        "HELLO", "FRAME", "MEMORY", "STATUS", "PING", "PONG", "BYE", "unreadable",
    }  # fmt: skip
    assert kinds["FRAME"] > kinds["unreadable"] / 2  # not all fall at the first fence


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_mutated_messages_are_answered_as_the_page_has_it(tmp_path: Path, transport: str) -> None:
    outcome = fuzz(tmp_path, 4000, seed=20261122, transport=transport)
    assert outcome.wrong == []
    assert outcome.mutated >= 4000
    assert outcome.honest.answered["enhanced"] > 10
    for word in EXPECTED:
        assert outcome.tally[word], word


def say_all(peer: HostilePeer) -> None:
    while not peer.over:
        peer.go_on()
        peer.collect()


LIES: dict[str, Callable[[dict[str, Any], list[bytes]], list[Answer]]] = {
    "no answer": lambda message, parts: [],
    "two answers": lambda message, parts: [[result_for(message), parts[0]]] * 2,
    "another frame's": lambda message, parts: [[result_for(message, seq=9), parts[0]]],
    "another model's": lambda message, parts: [[result_for(message, model="other"), parts[0]]],
    "the original as enhanced": lambda message, parts: [[result_for(message), parts[0]]],
    "a refusal of a sound frame": lambda message, parts: [
        [result_for(message, outcome="refused", reason="malformed")]
    ],
    "late without a deadline": lambda message, parts: [
        [result_for(message, outcome="bypassed", reason="late"), parts[0]]
    ],
    "unreadable": lambda message, parts: [[{"type": "ERROR", "code": "unreadable", "text": ""}]],
    "another size": lambda message, parts: [[result_for(message, rows=1), parts[0]]],
}


@pytest.mark.parametrize("lie", LIES)
def test_the_fuzzer_finds_what_a_daemon_may_not_say(
    lie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostile_peer, "PATIENCE_S", 0.3)
    models = Models({near_identity(tmp_path): RESIDUAL})
    identity = models.identities[0]

    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        if message["type"] == "FRAME":
            said = LIES[lie](message, parts)
            for head, *_ in said:
                head["model"] = head.get("model") or identity
                head["capture_time"] = None
            return said
        return [[WELCOME if message["type"] == "HELLO" else {"type": "PONG"}]]

    pixels: Pixels = frame(1)
    sound = [msgspec.msgpack.encode(frame_header(pixels)), pixels.tobytes()]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with pretender(answer) as url:
        said = Conversation([[[HELLO]], [sound], [[HELLO]]], 0, "drained")
        peer = HostilePeer(context, url, said, Rules(CREDIT), models, Counter())
        with pytest.raises(WrongAnswerError):
            say_all(peer)
        peer.close()
    context.term()
