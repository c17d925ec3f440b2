"""Who gets in over the wire, who does not, and what they are told."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from conftest import REPOSITORY

from daemons import FACTS, SOON_S, AddOne, Gate, Peer, frame, loader, running, serving
from recording_proxy import recording
from scanside.runtime import Client
from scanside.runtime.control import Reload, command
from scanside.runtime.curve import ClientKeys
from scanside.runtime.daemon.doorkeeper import ZAP_ADDRESS, Doorkeeper
from scanside.runtime.daemon.mailroom import Mailroom
from scanside.runtime.daemon.server import Daemon
from scanside.runtime.errors import (
    HandshakeError,
    KeyFileError,
    ServerUnreachableError,
    TransportError,
)
from scanside.runtime.inquiry import ask_status
from wire_keys import let_in, make_client_keys, make_daemon_keys

AT_ONCE_S = 25.0
"""Far less than the timeout of a client that is told nothing."""


class House:
    """A daemon's folder of keys that knows one client, and that client's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemon = make_daemon_keys(folder / "daemon")
        self.client = make_client_keys(folder / "known", self.daemon, known_as="known")
        self.list = self.daemon / "clients"
        self.control = folder / "control"

    def stranger(self, name: str = "stranger") -> Path:
        return make_client_keys(self.folder / name, self.daemon)

    def reload(self) -> str:
        return command(self.control, Reload()).text  # type: ignore[union-attr]

    @contextmanager
    def serving(self, engine: Any = None, bind: str = "tcp://127.0.0.1:*") -> Iterator[str]:
        ready = threading.Event()
        with running(
            *(loader(engine or AddOne()), bind),
            on_ready=lambda *_: ready.set(),
            control_file=self.control,
            keys=self.daemon,
        ) as daemon:
            assert ready.wait(SOON_S)
            yield daemon.url


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture(autouse=True)
def no_keys_of_whoever_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCANSIDE_KEYS", raising=False)


@contextmanager
def told_at_once(match: str, kind: type[Exception] = HandshakeError) -> Iterator[None]:
    began = time.monotonic()
    with pytest.raises(kind, match=match) as raised:
        yield
    assert time.monotonic() - began < AT_ONCE_S
    assert getattr(raised.value, "next_step", "")


def ask_in_both_ways(url: str, keys: Path | None, match: str) -> None:
    with told_at_once(match):
        Client(url, keys=keys, timeout=2 * AT_ONCE_S)
    with told_at_once(match):
        ask_status(url, 2 * AT_ONCE_S, keys)


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_known_client_is_served(house: House, scheme: str, shared: bool) -> None:
    bind = "tcp://127.0.0.1:*" if scheme == "tcp" else f"ipc://{house.folder}/socket"
    with house.serving(bind=bind) as url:
        with Client(url, keys=house.client, shared_memory=shared) as client:
            results = list(client.stream((frame(n, (300, 400)), FACTS) for n in range(20)))
            assert client.status().state == "READY"
        assert ask_status(url, SOON_S, house.client).counters.enhanced == 20
    for number, result in enumerate(results):
        assert result.outcome == "enhanced"
        assert result.pixels is not None
        np.testing.assert_array_equal(result.pixels, frame(number, (300, 400)) + np.uint16(1))


def test_the_environment_names_the_keys(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with house.serving() as url:
        monkeypatch.setenv("SCANSIDE_KEYS", str(house.client))
        Client(url).close()
        assert ask_status(url, SOON_S).state == "READY"
        with told_at_once("does not let the key"):
            Client(url, keys=house.stranger())
        monkeypatch.setenv("SCANSIDE_KEYS", "")
        with told_at_once("asks for keys"):
            Client(url)


def test_an_unknown_client_is_turned_away(house: House) -> None:
    with house.serving() as url:
        ask_in_both_ways(url, house.stranger(), "does not let the key")
        Client(url, keys=house.client).close()


def test_a_client_of_another_daemon_is_told_so(house: House) -> None:
    other = make_daemon_keys(house.folder / "other")
    shutil.copy(other / "server.pub", house.client)
    with house.serving() as url:
        ask_in_both_ways(url, house.client, "server.pub is not its key")


def test_a_known_key_without_its_secret_is_no_key(house: House) -> None:
    """Public keys are public: whoever has a known one must not get in with it."""
    known = ClientKeys.load(house.client)
    with house.serving() as url, zmq.Context() as context, context.socket(zmq.DEALER) as thief:
        thief.set(zmq.LINGER, 0)
        thief.set(zmq.CURVE_SERVERKEY, known.server)
        thief.set(zmq.CURVE_PUBLICKEY, known.pair.public)
        thief.set(zmq.CURVE_SECRETKEY, zmq.curve_keypair()[1])
        thief.connect(url)
        thief.send(b"\x81\xa4type\xa6STATUS")
        assert not thief.poll(500)


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_a_client_without_keys_is_told_to_bring_some(house: House, scheme: str) -> None:
    bind = "tcp://127.0.0.1:*" if scheme == "tcp" else f"ipc://{house.folder}/socket"
    with house.serving(bind=bind) as url:
        ask_in_both_ways(url, None, "asks for keys")


def test_a_client_with_keys_never_speaks_in_the_clear(house: House) -> None:
    with serving() as url:
        ask_in_both_ways(url, house.client, "uses no keys")
        assert ask_status(url, SOON_S).counters.sessions == 0


def test_a_client_with_keys_still_waits_for_a_daemon_that_comes(house: House) -> None:
    with pytest.raises(ServerUnreachableError):
        Client("tcp://127.0.0.1:9", keys=house.client, timeout=0.3)


# Taking a key away


def test_a_revoked_client_loses_its_session_and_gets_none_again(house: House) -> None:
    other = make_client_keys(house.folder / "other", house.daemon, known_as="other")
    with (
        house.serving() as url,
        Client(url, keys=house.client) as client,
        Client(url, keys=other) as neighbour,
    ):
        assert client.enhance(frame(0), FACTS).outcome == "enhanced"
        (house.list / "known.pub").unlink()
        assert house.reload().startswith("1 clients may come in")
        result = client.enhance(frame(1), FACTS)
        assert result.outcome == "unanswered"
        assert result.pixels is not None
        np.testing.assert_array_equal(result.pixels, frame(1))
        assert client.enhance(frame(2), FACTS).outcome == "unanswered"
        with told_at_once("does not let the key"):
            client.status()
        assert "does not let the key" in client.enhance(frame(2), FACTS).text
        ask_in_both_ways(url, house.client, "does not let the key")
        assert neighbour.enhance(frame(3), FACTS).outcome == "enhanced"
        assert neighbour.status().counters.sessions == 1

        let_in(house.client, house.daemon, "known")
        house.reload()
        assert client.status().state == "READY"
        assert client.enhance(frame(4), FACTS).outcome == "enhanced"


def test_what_a_revoked_client_waits_for_is_never_sent(house: House) -> None:
    gate = Gate()
    with house.serving(AddOne(gate)) as url, locked_peer(url, house.client) as peer:
        peer.send(0)
        gate.wait_entered()
        peer.send(1)
        (house.list / "known.pub").unlink()
        with suppress(KeyFileError):  # nobody is left
            house.reload()
        gate.open.release()
        answers = [peer.hear()]
        while peer.socket.poll(200):  # one more where the second frame came after the revocation
            answers.append(peer.hear())
        assert {(one["type"], one["code"]) for one in answers} == {("ERROR", "no session")}


def test_a_revoked_client_that_keeps_its_connection_gets_nothing_more(house: House) -> None:
    with house.serving() as url, locked_peer(url, house.client) as peer:
        assert peer.status()["state"] == "READY"
        let_in(house.stranger(), house.daemon, "new")
        (house.list / "known.pub").unlink()
        house.reload()
        assert "not allowed" in peer.hear()["text"]
        for message in (
            {"type": "STATUS"},
            {"type": "HELLO", "versions": [1]},
            {"type": "PING"},
        ):
            answer = peer.ask(message)
            assert (answer["type"], answer["code"]) == ("ERROR", "no session")
            assert "not allowed" in answer["text"]
        let_in(house.client, house.daemon, "known")
        house.reload()
        assert peer.ask({"type": "HELLO", "versions": [1]})["type"] == "WELCOME"


def test_a_new_client_gets_in_after_a_reload_and_not_before(house: House) -> None:
    stranger = house.stranger()
    with house.serving() as url:
        let_in(stranger, house.daemon, "new")
        with told_at_once("does not let the key"):
            Client(url, keys=stranger)
        house.reload()
        Client(url, keys=stranger).close()


Damage = Callable[[House], None]


def unlist(house: House) -> None:
    (house.list / "known.pub").unlink()


def spoil(house: House) -> None:
    (house.list / "known.pub").write_text("")


def open_the_list(house: House) -> None:
    house.list.chmod(0o777)


def open_the_file(house: House) -> None:
    (house.list / "known.pub").chmod(0o666)


def remove_the_list(house: House) -> None:
    shutil.rmtree(house.list)


DAMAGE = [unlist, spoil, open_the_list, open_the_file, remove_the_list]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_list_that_nobody_is_on_lets_nobody_in(house: House, damage: Damage) -> None:
    with house.serving() as url, Client(url, keys=house.client) as client:
        client.enhance(frame(0), FACTS)
        damage(house)
        with pytest.raises(KeyFileError) as raised:
            house.reload()
        assert "0 clients may come in" in raised.value.message
        assert raised.value.next_step
        assert client.enhance(frame(1), FACTS).outcome == "unanswered"
        with told_at_once("does not let the key"):
            client.status()


@pytest.mark.parametrize("damage", DAMAGE)
def test_with_such_a_list_no_daemon_starts(house: House, damage: Damage) -> None:
    damage(house)
    with pytest.raises(KeyFileError):
        Daemon(loader(AddOne()), "tcp://127.0.0.1:*", keys=house.daemon)


def test_one_broken_key_costs_its_client_alone(house: House) -> None:
    other = make_client_keys(house.folder / "other", house.daemon, known_as="other")
    with house.serving() as url, Client(url, keys=other) as neighbour:
        spoil(house)
        with pytest.raises(KeyFileError, match=r"known\.pub .*1 clients may come in"):
            house.reload()
        with told_at_once("does not let the key"):
            Client(url, keys=house.client)
        assert neighbour.enhance(frame(0), FACTS).outcome == "enhanced"
    with pytest.raises(KeyFileError, match=r"known\.pub"):
        Daemon(loader(AddOne()), "tcp://127.0.0.1:*", keys=house.daemon)


def test_trusted_keys_that_cannot_be_read_do_not_keep_a_client_in(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_in(house.stranger(), house.daemon, "new")
    with house.serving() as url, Client(url, keys=house.client) as client:
        monkeypatch.setenv("SCANSIDE_TRUST", str(house.folder / "none"))
        unlist(house)
        with pytest.raises(KeyFileError, match="trust folder"):
            house.reload()
        assert client.enhance(frame(0), FACTS).outcome == "unanswered"
        house.list.chmod(0o777)
        with pytest.raises(KeyFileError, match=r"0 clients may come in; .*trust folder"):
            house.reload()


@pytest.mark.parametrize("bits", [0o640, 0o644])
def test_a_server_key_that_others_may_read_starts_no_daemon(house: House, bits: int) -> None:
    (house.daemon / "server.key").chmod(bits)
    with pytest.raises(KeyFileError, match="may be read by others"):
        Daemon(loader(AddOne()), "tcp://127.0.0.1:*", keys=house.daemon)
    (house.client / "client.key").chmod(bits)
    with pytest.raises(KeyFileError, match="may be read by others"):
        Client("tcp://127.0.0.1:9", keys=house.client)


# The door itself


def test_where_nobody_answers_for_the_list_nobody_gets_in(house: House) -> None:
    mail = Mailroom("tcp://127.0.0.1:*", 4, house.daemon)
    assert mail.door is not None
    mail.door.close()
    try:
        with pytest.raises(TransportError):
            Client(mail.url, keys=house.client, timeout=1.0)
        assert mail.receive() is None
    finally:
        mail.close()


@pytest.mark.parametrize(
    ("place", "value"), [(0, b"2.0"), (2, b"other"), (5, b"NULL"), (6, b"short"), (6, None)]
)
def test_a_question_that_is_not_ours_is_answered_with_no(
    house: House, place: int, value: bytes | None
) -> None:
    with zmq.Context() as context, context.socket(zmq.REQ) as asker:
        door = Doorkeeper(context, house.daemon)
        asker.connect(ZAP_ADDRESS)
        key = zmq.utils.z85.decode(ClientKeys.load(house.client).pair.public)
        good = [b"1.0", b"7", b"scanside", b"127.0.0.1", b"", b"CURVE", key]
        bad = good[:place] + ([value] if value is not None else []) + good[place + 1 :]
        for question, status in ((bad, b"400"), (good, b"200")):
            asker.send_multipart(question)
            assert door.socket.poll(SOON_S * 1000)
            door.answer()
            answer = asker.recv_multipart()
            assert (answer[:3], len(answer)) == ([b"1.0", b"7", status], 6)
            assert bool(answer[4]) is (status == b"200")
        door.close()


@pytest.mark.parametrize("url", ["tcp://0.0.0.0:*", "tcp://*:*"])
def test_only_with_keys_others_can_reach_it(house: House, url: str) -> None:
    with pytest.raises(TransportError, match="can be reached from other machines") as raised:
        Daemon(loader(AddOne()), url)
    assert "--keys" in raised.value.next_step
    with house.serving(bind=url) as bound:
        local = bound.replace("0.0.0.0", "127.0.0.1")
        with Client(local, keys=house.client, shared_memory=False) as client:
            assert client.enhance(frame(0), FACTS).outcome == "enhanced"
        ask_in_both_ways(local, None, "asks for keys")


@pytest.mark.parametrize("url", ["tcp://0.0.0.0", "udp://0.0.0.0:5555", "tcp://:1", "tcp://*:x"])
def test_keys_make_no_address_of_nonsense(house: House, url: str) -> None:
    with pytest.raises(TransportError, match="not an address"):
        Daemon(loader(AddOne()), url, keys=house.daemon)


def test_frames_cost_no_look_at_keys(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []
    genuine = Doorkeeper.client_of

    def look(self: Doorkeeper, part: zmq.Frame) -> str | None:
        looks.append(part)
        return genuine(self, part)

    monkeypatch.setattr(Doorkeeper, "client_of", look)
    with house.serving() as url, Client(url, keys=house.client) as client:
        list(client.stream((frame(n), FACTS) for n in range(50)))
    assert len(looks) == 1


# What travels


def test_pixels_travel_in_the_clear_without_keys_and_never_with_them(house: House) -> None:
    """Over tcp, as whoever sits on the cable sees it, both ways."""
    shown = frame(7, (64, 512))
    words = shown.tobytes(), (shown + np.uint16(1)).tobytes()
    with (
        serving() as url,
        recording(url) as (through, tape),
        Client(through, shared_memory=False) as client,
    ):
        assert client.enhance(shown, FACTS, stream="aria").outcome == "enhanced"
    assert words[0] in tape
    assert words[1] in tape
    assert b"aria" in tape
    with (
        house.serving() as url,
        recording(url) as (through, locked),
        Client(through, shared_memory=False, keys=house.client) as client,
    ):
        assert client.enhance(shown, FACTS, stream="aria").outcome == "enhanced"
    assert len(locked) > len(tape) * 0.9
    for data in words:
        pieces = {data[at : at + 16] for at in range(0, len(data), 16)}
        assert not any(piece in locked for piece in pieces)
    assert b"aria" not in locked
    assert b"CURVE" in locked


def test_the_page_names_the_files_and_the_variable() -> None:
    page = (REPOSITORY / "docs" / "keys.md").read_text()
    for word in ("server.key", "client.key", "server.pub", "clients/", "SCANSIDE_KEYS", "0600"):
        assert word in page


def test_a_hangup_reads_the_list_again(house: House) -> None:
    with (
        Daemon(loader(AddOne()), "tcp://127.0.0.1:*", keys=house.daemon) as daemon,
        daemon.obeying_signals(),
    ):
        thread = threading.Thread(target=daemon.run)
        thread.start()
        try:
            with Client(daemon.url, keys=house.client) as client:
                unlist(house)
                os.kill(os.getpid(), signal.SIGHUP)
                until = time.monotonic() + SOON_S
                while client.enhance(frame(0), FACTS).outcome != "unanswered":
                    assert time.monotonic() < until
        finally:
            daemon.drain()
            thread.join(SOON_S)
        assert not thread.is_alive()


@contextmanager
def locked_peer(url: str, keys: Path) -> Iterator[Peer]:
    """A bare peer with keys."""
    genuine = zmq.Socket.connect

    def connect(socket: zmq.Socket[bytes], where: str) -> Any:
        ClientKeys.load(keys).lock(socket)
        return genuine(socket, where)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zmq.Socket, "connect", connect)
        peer = Peer(url)
    with peer:
        yield peer
