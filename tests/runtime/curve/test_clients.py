"""Who gets in with CURVE, and what those who do not are told."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import zmq

from daemons import FACTS, SOON_S, frame, serving
from keyed_house import House, ask_in_both_ways, told_at_once
from scanside.runtime import Client
from scanside.runtime.curve import ClientKeys
from scanside.runtime.errors import ServerUnreachableError
from scanside.runtime.inquiry import ask_status
from wire_keys import make_daemon_keys


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
