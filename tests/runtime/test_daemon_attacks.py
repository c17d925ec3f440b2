"""Whatever bytes arrive, the daemon lives, and an honest client beside the attacker is served."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import numpy as np
import pytest

from attacks.frames import crafted
from daemons import Peer, serving
from scanside.runtime import wire

WORDS = {"WELCOME", "RESULT", "STATUS", "PING", "PONG", "ERROR"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture
def honest(url: str, caplog: pytest.LogCaptureFixture) -> Iterator[Peer]:
    with Peer(url) as peer:
        yield peer
        serves(peer, 2**32)
    # The daemon's last net is for what nobody thought of, not for any of these.
    assert "message failed" not in [record.message for record in caplog.get_records("call")]


def serves(peer: Peer, seq: int) -> None:
    pixels = peer.send(seq)
    while (result := peer.hear())["type"] == "PING":
        pass  # comes unasked when the daemon looks for sessions of the dead
    assert (result["outcome"], result["seq"]) == ("enhanced", seq), result
    assert result["pixels"] == (pixels + np.uint16(1)).tobytes()


@pytest.mark.parametrize("hello", [True, False], ids=["in a session", "without one"])
def test_crafted_messages_get_an_answer_from_the_protocol(
    url: str, honest: Peer, hello: bool
) -> None:
    for number, (name, message) in enumerate(crafted()):
        with Peer(url, hello=hello) as attacker:
            answer = attacker.ask(*message)
            assert answer["type"] in WORDS, name
            if answer["type"] == "RESULT":
                assert hello, name
                wire.Outcome(answer["outcome"])
                assert (answer["pixels"] is None) == (answer["outcome"] == "refused"), name
            assert attacker.status()["state"] == "READY", name
        serves(honest, number)


@pytest.mark.parametrize("seed", range(3))
def test_bytes_that_are_not_zeromq_never_stop_the_daemon(url: str, honest: Peer, seed: int) -> None:
    rng = random.Random(seed)
    greeting = bytes.fromhex("ff00000000000000017f0300") + b"NULL".ljust(20, b"\0") + bytes(32)
    host, port = url.removeprefix("tcp://").split(":")
    for number, start in enumerate((b"", b"GET / HTTP/1.1\r\n\r\n", greeting)):
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(start + rng.randbytes(500))
        serves(honest, number)


def test_a_message_over_the_limit_costs_the_sender_its_connection(url: str, honest: Peer) -> None:
    with Peer(url) as attacker:
        before = honest.status()["counters"]["errors"]
        attacker.say({"type": "PING"}, bytes(wire.PIXELS_LIMIT + 1))
        # ZeroMQ connects again by itself: to the daemon that is somebody new, without a session.
        answer = attacker.ask({"type": "PING"})
        assert answer["code"] == "no session"
        assert honest.status()["counters"]["errors"] == before + 1
