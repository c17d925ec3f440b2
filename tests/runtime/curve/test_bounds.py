"""Where keys are needed at all, and that they cost frames nothing."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest
import zmq
from conftest import REPOSITORY

from daemons import FACTS, SOON_S, AddOne, frame, loader, serving
from keyed_house import House, ask_in_both_ways, unlist
from recording_proxy import recording
from scanside.runtime import Client
from scanside.runtime.daemon.doorkeeper import Doorkeeper
from scanside.runtime.daemon.server import Daemon
from scanside.runtime.errors import TransportError


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
