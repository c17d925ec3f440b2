"""The control socket: who may reach it, and what bytes on it cannot do."""

from __future__ import annotations

import os
import random
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import zmq

from daemons import SOON_S, AddOne, Peer, frame, frame_header, loader, running
from scanside.runtime import control
from scanside.runtime.control import Ask, Drain, Situation, Swap, command
from scanside.runtime.daemon.server import Daemon
from scanside.runtime.errors import (
    AddressInUseError,
    ProtocolError,
    RequestTimeoutError,
    ServerUnreachableError,
    SwapError,
    TransportError,
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """URL and control socket of a daemon without anything to swap to."""
    ready = threading.Event()
    load, file = loader(AddOne()), tmp_path / "control"
    with running(load, on_ready=lambda *_: ready.set(), control_file=file) as daemon:
        assert ready.wait(SOON_S)
        yield daemon.url, file


@contextmanager
def attacker(file: Path) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.set(zmq.LINGER, 0)
        socket.connect(f"ipc://{file}")
        yield socket


def test_only_the_owner_may_open_it(served: tuple[str, Path]) -> None:
    assert stat.S_IMODE(served[1].stat().st_mode) == 0o600


def test_other_files_of_the_process_keep_their_mode(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with Daemon(loader(AddOne()), "tcp://127.0.0.1:*", control_file=tmp_path / "c"):
            (tmp_path / "other").touch()
    finally:
        assert os.umask(before) == 0o022
    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == 0o644


def test_a_control_socket_in_use_is_not_taken_over(served: tuple[str, Path]) -> None:
    with pytest.raises(AddressInUseError):
        Daemon(loader(AddOne()), "tcp://127.0.0.1:*", control_file=served[1])
    assert isinstance(command(served[1], Ask()), Situation)


@pytest.mark.parametrize(
    "name", ["tcp://127.0.0.1:5556", "ipc:///tmp/x", "inproc://x", "/x" * 100, "no/folder/here"]
)
def test_it_is_a_file_and_never_on_a_network(name: str) -> None:
    with pytest.raises(TransportError):
        Daemon(loader(AddOne()), "tcp://127.0.0.1:*", control_file=Path(name))
    with pytest.raises(TransportError):
        command(Path(name), Ask())


def test_nobody_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ServerUnreachableError, match="no daemon"):
        command(tmp_path / "control", Ask())


def test_a_daemon_that_is_silent_is_not_waited_for(tmp_path: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as silent:
        silent.bind(f"ipc://{tmp_path}/control")
        with pytest.raises(RequestTimeoutError):
            command(tmp_path / "control", Ask(), patience_s=0.1)


@pytest.mark.parametrize("nonsense", [b"", b"\xc1", msgspec.msgpack.encode({"type": "ROOT"})])
def test_a_daemon_that_talks_nonsense_is_a_typed_error(tmp_path: Path, nonsense: bytes) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as liar:
        liar.bind(f"ipc://{tmp_path}/control")

        def answer() -> None:
            peer, *_ = liar.recv_multipart()
            liar.send_multipart([peer, nonsense])

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ProtocolError):
            command(tmp_path / "control", Ask())
        thread.join(SOON_S)


def test_a_daemon_without_bundles_cannot_swap(served: tuple[str, Path]) -> None:
    with pytest.raises(SwapError, match="serves no bundle"):
        command(served[1], Swap(file="/x"))


def test_drain_stops_the_daemon(tmp_path: Path) -> None:
    with Daemon(loader(AddOne()), "tcp://127.0.0.1:*", control_file=tmp_path / "c") as daemon:
        thread = threading.Thread(target=daemon.run)
        thread.start()
        command(tmp_path / "c", Drain())
        thread.join(SOON_S)
        assert not thread.is_alive()


CRAFTED = [
    [b""],
    [b"\xc1"],
    [b"\x00" * 8],
    [msgspec.msgpack.encode({"type": "STATUS"})] * 2,
    [msgspec.msgpack.encode({"type": "SWAP", "file": 7})],
    [msgspec.msgpack.encode({"type": "SWAP", "file": "/" + "x" * 5000})],
    [msgspec.msgpack.encode({"type": "SWAP", "file": "/x", "force": "yes"})],
    [msgspec.msgpack.encode({"type": "shutdown"})],
    [msgspec.msgpack.encode({"type": "HELLO", "versions": [1]})],
    [msgspec.msgpack.encode([["SWAP"]])],
    [b"\x91" * 5000],
    [b"\xdf\xff\xff\xff\xff"],
    [b"", b"", b""],
]


@pytest.mark.parametrize("parts", CRAFTED, ids=range(len(CRAFTED)))
def test_a_malformed_command_is_answered_and_hurts_nobody(
    served: tuple[str, Path], parts: list[bytes]
) -> None:
    url, file = served
    with Peer(url) as peer, attacker(file) as socket:
        socket.send_multipart(parts)
        assert socket.poll(SOON_S * 1000)
        answer = msgspec.msgpack.decode(socket.recv())
        assert answer["type"] == "FAILED"
        assert "/x" not in answer["text"]
        peer.send(0)
        assert peer.hear()["outcome"] == "enhanced"
        assert isinstance(command(file, Ask()), Situation)


def test_mutated_commands_and_floods_never_stop_the_daemon(served: tuple[str, Path]) -> None:
    url, file = served
    rng = random.Random(20261123)
    seeds = [
        control.encode(Swap(file="/tmp/none", force=True)),
        control.encode(Ask()),
        msgspec.msgpack.encode(frame_header(frame(0))),
    ]
    with Peer(url) as peer, attacker(file) as socket:
        for number in range(2000):
            raw = bytearray(rng.choice(seeds))
            for _ in range(rng.randint(1, 4)):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
            socket.send_multipart([bytes(raw)] * rng.choice((1, 1, 1, 3)))
            if number % 200 == 0:
                peer.send(number)
                assert peer.hear()["outcome"] == "enhanced"
        # It never read an answer: its answers are dropped, and others have theirs.
        assert isinstance(command(file, Ask()), Situation)


def test_a_message_over_the_limit_costs_the_sender_its_connection(
    served: tuple[str, Path],
) -> None:
    url, file = served
    with Peer(url) as peer, attacker(file) as socket:
        socket.send(bytes(control.MESSAGE_LIMIT + 1))
        assert isinstance(command(file, Ask()), Situation)
        assert not socket.poll(50)
        peer.send(0)
        assert peer.hear()["outcome"] == "enhanced"


def test_commands_are_not_taken_where_frames_are(served: tuple[str, Path]) -> None:
    with Peer(served[0]) as peer:
        assert peer.ask(control.encode(Drain()))["type"] == "ERROR"
        assert peer.status()["state"] == "READY"
