"""docs/wire-v1-vectors.json, held against the code both ways and against a daemon that runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec
import pytest
import zmq
from conftest import REPOSITORY

from daemons import AddOne, Gate, Peer, loader, running, serving
from scanside.runtime import wire
from scanside.runtime.daemon.register import MAX_SESSIONS
from scanside.runtime.errors import NonFiniteError, ProtocolError
from scanside.runtime.frame import Pixels

VECTORS = json.loads((REPOSITORY / "docs" / "wire-v1-vectors.json").read_text())
MESSAGES = {vector["name"]: vector for vector in VECTORS["messages"]}
TYPES: dict[str, dict[str, Any]] = {
    side: {one.__struct_config__.tag: one for one in union.__args__}
    for side, union in (("client", wire.FromClient), ("daemon", wire.FromDaemon))
}
DECODE: dict[str, Callable[[zmq.Frame], Any]] = {
    "client": wire.decode_from_client,
    "daemon": wire.decode_from_daemon,
}


def joined(pieces: list[Any]) -> bytes:
    """The bytes of one part: hex, or [hex, times] for what is repeated."""
    return b"".join(
        bytes.fromhex(piece) if isinstance(piece, str) else bytes.fromhex(piece[0]) * piece[1]
        for piece in pieces
    )


def plain(message: Any) -> Any:
    return json.loads(msgspec.json.encode(message))


@pytest.mark.parametrize("vector", MESSAGES.values(), ids=MESSAGES)
def test_encoding_gives_the_bytes_and_decoding_the_values(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["header"])
    kind = TYPES[vector["from"]][vector["means"]["type"]]
    assert wire.encode(msgspec.convert(vector["means"], kind)).hex() == raw.hex()
    decoded = DECODE[vector["from"]](zmq.Frame(raw))
    assert type(decoded) is kind
    assert plain(decoded) == vector["means"]


@pytest.mark.parametrize("vector", VECTORS["read alike"], ids=lambda vector: vector["name"])
def test_other_bytes_that_mean_the_same_are_read_alike(vector: dict[str, Any]) -> None:
    same = MESSAGES[vector["as"]]
    assert vector["header"] != same["header"]
    decoded = DECODE[same["from"]](zmq.Frame(bytes.fromhex(vector["header"])))
    assert plain(decoded) == same["means"]


def test_every_message_has_a_vector() -> None:
    said = {(vector["from"], vector["means"]["type"]) for vector in MESSAGES.values()}
    assert said == {(side, name) for side, types in TYPES.items() for name in types}


def test_every_answer_of_the_closed_lists_has_a_vector() -> None:
    answers = [vector["answer"] for vector in VECTORS["answers"]]
    reasons = {answer.get("reason") for answer in answers} - {None}
    assert reasons == {reason.value for reason in wire.Reason}
    assert {answer.get("code") for answer in answers} - {None} == {
        code.value for code in wire.ErrorCode
    }


def test_a_client_refuses_what_no_daemon_may_say() -> None:
    for vector in VECTORS["no daemon says"]:
        with pytest.raises(ProtocolError):
            wire.decode_from_daemon(zmq.Frame(joined(vector["header"])))


class Scene:
    """A daemon in the condition that a vector names. `act`: what happens right before its message.

    It serves the CT model of `daemons.loader` with credit 4; its engine adds 1 to every pixel.
    """

    def __init__(self, name: str, stack: ExitStack) -> None:
        self.act: Callable[[Peer], None] = lambda peer: None
        if name == "the model is loading":
            gate = Gate()
            stack.callback(gate.open.release)
            load = loader(AddOne(), check=lambda: gate(None))  # type: ignore[arg-type]
            self.url = stack.enter_context(running(load)).url
            gate.wait_entered()
        elif name == "the engine holds the first frame":
            self.url, _ = self._held(stack)
        elif name == "the daemon drains":
            self.url, drain = self._held(stack)
            self.act = lambda peer: (drain(), peer.wait_for("DRAINING"))[-1]
        elif name == "the engine fails":
            self.url = stack.enter_context(serving(AddOne(_fail)))
        elif name == "the network gives infinity":
            self.url = stack.enter_context(serving(AddOne(_diverge)))
        elif name == "all sessions are taken":
            self.url = stack.enter_context(serving())
            for _ in range(MAX_SESSIONS):
                stack.enter_context(Peer(self.url))
        else:
            assert name == "ready"
            self.url = stack.enter_context(serving())

    def _held(self, stack: ExitStack) -> tuple[str, Callable[[], None]]:
        gate = Gate()
        daemon = stack.enter_context(running(loader(AddOne(gate))))
        stack.callback(lambda: [gate.open.release() for _ in range(10)])

        def wait(peer: Peer) -> None:
            gate.wait_entered()

        self.act = wait
        with Peer(daemon.url, hello=False) as peer:
            peer.wait_for("READY")

        def drain() -> None:
            gate.wait_entered()
            daemon.drain()

        return daemon.url, drain


def _fail(pixels: Pixels) -> None:
    raise RuntimeError("no")


def _diverge(pixels: Pixels) -> None:
    raise NonFiniteError("no")


@pytest.fixture(scope="module")
def ready() -> Iterator[str]:
    with serving() as url:
        yield url


@contextmanager
def scene(name: str, ready: str) -> Iterator[tuple[str, Callable[[Peer], None]]]:
    if name == "ready":
        yield ready, lambda peer: None
        return
    with ExitStack() as stack:
        made = Scene(name, stack)
        yield made.url, made.act


def say(peer: Peer, message: str | dict[str, Any]) -> None:
    if isinstance(message, str):
        vector = MESSAGES[message]
        pixels = [bytes.fromhex(vector["pixels"])] if "pixels" in vector else []
        peer.say(bytes.fromhex(vector["header"]), *pixels)
    else:
        header, *parts = [joined(part) for part in message["parts"]]
        peer.say(header, *parts)


def answered(vector: dict[str, Any], ready: str) -> dict[str, Any]:
    with (
        scene(vector["while"], ready) as (url, act),
        Peer(url, hello=vector["session"]) as peer,
    ):
        for message, is_answered in vector["before"]:
            say(peer, message)
            if is_answered:
                peer.hear()
        act(peer)
        say(peer, vector)
        answer = peer.hear()
        # The connection goes on: a STATUS is answered, and nothing came between.
        while (status := peer.ask({"type": "STATUS"}))["type"] == "PING":
            pass
        if vector["while"] == "ready":
            assert status["type"] == "STATUS", status
            if answer["type"] == "ERROR":
                assert status["counters"]["errors"] > 0
            elif answer.get("reason"):
                counts = status["counters"][answer["outcome"]]
                assert counts[answer["reason"]] > 0
        return answer


@pytest.mark.parametrize("vector", VECTORS["answers"], ids=lambda vector: vector["name"])
def test_a_daemon_answers_as_the_vectors_say(vector: dict[str, Any], ready: str) -> None:
    answer = answered(vector, ready)
    pixels = answer.pop("pixels")
    assert (pixels.hex() if pixels is not None else None) == vector["pixels"]
    assert {key: answer[key] for key in vector["answer"]} == vector["answer"]
