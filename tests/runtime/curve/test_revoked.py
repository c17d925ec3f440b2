"""A client whose key is taken off the list, and one that is put on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from daemons import FACTS, AddOne, Gate, Peer, frame
from keyed_house import House, ask_in_both_ways, told_at_once
from scanside.runtime import Client
from scanside.runtime.curve import ClientKeys
from scanside.runtime.errors import KeyFileError
from wire_keys import let_in, make_client_keys


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
