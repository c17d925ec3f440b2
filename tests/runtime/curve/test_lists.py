"""Lists of clients' keys that are damaged: nobody gets in who should not."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
import zmq

from daemons import FACTS, SOON_S, AddOne, frame, loader
from keyed_house import House, told_at_once, unlist
from scanside.runtime import Client
from scanside.runtime.curve import ClientKeys
from scanside.runtime.daemon.doorkeeper import ZAP_ADDRESS, Doorkeeper
from scanside.runtime.daemon.mailroom import Mailroom
from scanside.runtime.daemon.server import Daemon
from scanside.runtime.errors import KeyFileError, TransportError
from wire_keys import let_in, make_client_keys

Damage = Callable[[House], None]


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
