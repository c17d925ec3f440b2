"""Sessions: who is let in, who is shown out, and that no client hurts another."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from daemons import SOON_S, AddOne, Gate, Peer, frame, frame_header, serving
from scanside.runtime.daemon import reception, register
from scanside.runtime.daemon.server import Daemon
from scanside.runtime.errors import AddressInUseError, TransportError


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as url:
        yield url


def test_a_frame_before_hello_is_an_error(url: str) -> None:
    with Peer(url, hello=False) as peer:
        pixels = frame(0)
        answer = peer.ask(frame_header(pixels), pixels.tobytes())
        assert (answer["type"], answer["code"]) == ("ERROR", "no session")
        assert peer.ask({"type": "PING"})["code"] == "no session"
        assert peer.ask({"type": "BYE"})["code"] == "no session"


def test_status_needs_no_session(url: str) -> None:
    with Peer(url, hello=False) as peer:
        status = peer.status()
        assert status["state"] == "READY"
        assert status["model"]["signed"] is False
        assert status["uptime_s"] > 0
        assert set(status["counters"]) == {
            "enhanced", "bypassed", "refused", "sessions", "closed_peers", "errors", "queue",
            "streams",
        }  # fmt: skip


@pytest.mark.parametrize("versions", [[], [0], [2, 3]])
def test_no_common_version_is_an_error(url: str, versions: list[int]) -> None:
    with Peer(url, hello=False) as peer:
        answer = peer.ask({"type": "HELLO", "versions": versions})
        assert (answer["type"], answer["code"]) == ("ERROR", "no common version")
        assert peer.ask({"type": "HELLO", "versions": [9, 1]})["version"] == 1


def test_a_second_hello_gets_the_same_session(url: str) -> None:
    with Peer(url) as peer, Peer(url) as other:
        again = peer.ask({"type": "HELLO", "versions": [1]})
        assert again["session"] == peer.welcome["session"] != other.welcome["session"]


def test_after_bye_there_is_no_session(url: str) -> None:
    with Peer(url) as peer:
        peer.say({"type": "BYE"})
        assert peer.ask({"type": "PING"})["code"] == "no session"


def test_more_sessions_than_the_limit_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "MAX_SESSIONS", 1)
    with serving() as url, Peer(url) as peer, Peer(url, hello=False) as other:
        assert other.ask({"type": "HELLO", "versions": [1]})["code"] == "busy"
        assert peer.hear()["type"] == "PING"  # to see whether it lives
        peer.say({"type": "BYE"})
        while peer.status()["counters"]["sessions"]:
            pass
        assert other.ask({"type": "HELLO", "versions": [1]})["type"] == "WELCOME"


def test_sessions_of_the_dead_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "MAX_SESSIONS", 2)
    with serving() as url, Peer(url) as living:
        with Peer(url):
            pass
        for _ in range(2):  # its end has come through when what is sent after it is answered
            living.status()
        with Peer(url) as peer:
            assert peer.welcome["session"]
            assert living.hear()["type"] == "PING"
            counters = living.status()["counters"]
            assert (counters["sessions"], counters["closed_peers"]) == (2, 1)


def test_all_queues_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "QUEUE_BYTES", 3 * frame(0).nbytes)
    gate = Gate()
    with serving(AddOne(gate)) as url, Peer(url) as peer, Peer(url) as other:
        peer.send(0)
        peer.send(1)
        gate.wait_entered()
        other.send(0)
        other.send(1)
        assert other.hear()["reason"] == "over credit"
        for _ in range(4):
            gate.open.release()
        assert peer.hear()["outcome"] == peer.hear()["outcome"] == "enhanced"
        assert other.hear()["outcome"] == "enhanced"
        other.send(2)
        assert other.hear()["outcome"] == "enhanced"


def test_a_session_has_a_limit_of_streams(url: str) -> None:
    with Peer(url) as peer:
        for number in range(64):
            peer.send(0, stream=f"s{number}")
            assert peer.hear()["outcome"] == "enhanced"
        peer.send(0, stream="one more")
        assert peer.hear()["reason"] == "malformed"
        peer.send(1, stream="s0")
        assert peer.hear()["outcome"] == "enhanced"


def test_a_silent_session_is_closed_and_told_so_and_one_that_waits_is_not() -> None:
    gate = Gate()
    with serving(AddOne(gate), silence_s=0.1) as url, Peer(url) as peer, Peer(url) as waiting:
        assert peer.welcome["silence_s"] == 0.1
        waiting.send(0)
        gate.wait_entered()
        told = peer.hear()
        assert told["type"] == "PING"
        while told["type"] == "PING":
            told = peer.hear()
        assert (told["type"], told["code"]) == ("ERROR", "no session")
        time.sleep(0.15)
        gate.open.release()
        assert waiting.hear()["outcome"] == "enhanced"


def test_a_peer_that_keeps_pinging_is_not_silent() -> None:
    with serving(silence_s=0.1) as url, Peer(url) as peer:
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            assert peer.ask({"type": "PING"})["type"] == "PONG"
            time.sleep(0.01)


def test_a_peer_that_answers_each_ping_keeps_its_session() -> None:
    with serving(silence_s=0.4) as url, Peer(url) as peer:
        until = time.monotonic() + 1.2
        while (left := until - time.monotonic()) > 0:
            if peer.socket.poll(int(left * 1000)):
                assert peer.hear()["type"] == "PING"
                peer.say({"type": "PONG"})
        peer.send(0)
        while (answer := peer.hear())["type"] == "PING":
            pass
        assert answer["outcome"] == "enhanced"


def test_clients_take_turns() -> None:
    order: list[int] = []
    gate = Gate()

    def note(pixels: Any) -> None:
        gate(pixels)
        order.append(int(pixels[0, 0, 0]))

    with serving(AddOne(note), credit=4) as url, Peer(url) as greedy, Peer(url) as modest:
        for seq in range(4):
            greedy.send(seq, np.full((4, 4), seq, np.uint16))
        gate.wait_entered()
        for seq in range(2):
            modest.send(seq, np.full((4, 4), 10 + seq, np.uint16))
        assert modest.status()["counters"]["queue"] == 6
        for _ in range(6):
            gate.open.release()
        for _ in range(4):
            greedy.hear()
        for _ in range(2):
            modest.hear()
    # 1 was next in turn before the modest client came; from then on they alternate.
    assert order == [0, 1, 10, 2, 11, 3]


def test_a_client_that_never_reads_loses_its_session_and_no_other_is_hurt() -> None:
    big = np.zeros((1024, 1024), np.uint16)
    with serving() as url, Peer(url, receive_room=1) as deaf, Peer(url) as peer:
        seq = 0
        until = time.monotonic() + SOON_S
        while not peer.status()["counters"]["closed_peers"]:
            assert time.monotonic() < until
            for _ in range(4):
                deaf.send(seq, big)
                seq += 1
            pixels = peer.send(seq)
            result = peer.hear()
            assert result["outcome"] == "enhanced"
            assert result["pixels"] == (pixels + np.uint16(1)).tobytes()
        assert peer.status()["counters"]["sessions"] == 1


def test_a_quick_client_that_reads_is_not_taken_for_a_deaf_one(url: str) -> None:
    with Peer(url) as peer:
        for _ in range(500):
            for _ in range(6):
                peer.say({"type": "PING"})
            assert [peer.hear()["type"] for _ in range(6)] == ["PONG"] * 6


def test_frames_of_an_ended_session_are_not_run() -> None:
    gate = Gate()
    engine = AddOne(gate)
    with serving(engine) as url, Peer(url) as peer:
        with Peer(url) as leaving:
            for seq in range(3):
                leaving.send(seq)
            gate.wait_entered()
            leaving.say({"type": "BYE"})
            assert leaving.status()["counters"]["queue"] == 0
        for _ in range(2):
            gate.open.release()
        peer.send(0)
        assert peer.hear()["outcome"] == "enhanced"
        assert engine.seen == 2
        assert peer.hears_nothing()


def test_nothing_is_kept_of_a_frame_that_was_answered() -> None:
    kept: list[weakref.ref[Any]] = []

    def note(pixels: Any) -> None:
        while pixels.base is not None and isinstance(pixels.base, np.ndarray):
            pixels = pixels.base
        kept.append(weakref.ref(pixels))

    with serving(AddOne(note)) as url, Peer(url) as peer:
        for seq in range(3):
            peer.send(seq, deadline_ms=60_000)
            assert peer.hear()["outcome"] == "enhanced"
        assert peer.hears_nothing()
        # The engine's thread may still hold the last one that it worked on.
        assert [ref() is None for ref in kept[:2]] == [True, True]


def test_a_client_that_dies_with_frames_on_their_way_is_closed_and_counted() -> None:
    gate = Gate()
    with serving(AddOne(gate)) as url, Peer(url) as peer:
        with Peer(url) as victim:
            for seq in range(3):
                victim.send(seq)
            gate.wait_entered()
            assert victim.status()["counters"]["queue"] == 3
        for _ in range(2):  # its end has come through when what is sent after it is answered
            peer.status()
        peer.send(0)
        for _ in range(4):  # the engine may be quicker than the news of the end
            gate.open.release()
        assert peer.hear()["outcome"] == "enhanced"
        counters = peer.status()["counters"]
        assert (counters["closed_peers"], counters["sessions"], counters["queue"]) == (1, 1, 0)
        assert counters["enhanced"] == 1


@pytest.mark.parametrize(
    "address",
    [
        "tcp://0.0.0.0:5555", "tcp://*:5555", "tcp://192.168.0.1:5555", "tcp://[::]:5555",
        "tcp://example.org:5555", "tcp://127.0.0.1", "tcp://127.0.0.1:0x50", "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:99999", "udp://127.0.0.1:5555", "inproc://x", "ipc://", "5555", "",
    ],
)  # fmt: skip
def test_only_private_addresses_are_taken(address: str) -> None:
    with pytest.raises(TransportError) as raised:
        Daemon(lambda report: pytest.fail("loaded"), address)
    assert "tcp://127.0.0.1:PORT" in str(raised.value)


def test_a_port_in_use_is_said(url: str) -> None:
    with pytest.raises(AddressInUseError, match="is in use"):
        Daemon(lambda report: pytest.fail("loaded"), url)


def test_an_ipc_socket_in_use_is_not_taken_over(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/s"
    with serving(bind=address) as url, Peer(url) as peer:
        assert url == address
        with pytest.raises(AddressInUseError):
            Daemon(lambda report: pytest.fail("loaded"), address)
        peer.send(0)
        assert peer.hear()["outcome"] == "enhanced"
    with serving(bind=address):  # a socket file that nobody listens on is no obstacle
        pass


def test_a_folder_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="cannot listen"):
        Daemon(lambda report: pytest.fail("loaded"), f"ipc://{tmp_path}/no/s")


def test_a_daemon_drained_and_closed_gives_its_address_back() -> None:
    with serving() as url:
        pass
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.bind(url)
    socket.close()
    context.term()
