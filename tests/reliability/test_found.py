"""What the programs of this folder found, each by itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemons import FACTS, SOON_S, WELCOME, Answer, Peer, frame, pretender, serving
from scanside.runtime import Client
from scanside.runtime.errors import ProtocolError


def test_a_stopped_daemon_leaves_no_socket_file(tmp_path: Path) -> None:
    with serving(bind=f"ipc://{tmp_path}/daemon") as url, Peer(url):
        assert [one.name for one in tmp_path.iterdir()] == ["daemon"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "said", [b"\xc1", {"type": "STATUS"}, {"type": "PING"}], ids=["rubbish", "STATUS", "PING"]
)
def test_who_does_not_read_its_answers_loses_its_session(
    tmp_path: Path, said: dict[str, Any] | bytes
) -> None:
    # The kernel's buffers of a tcp connection hold megabytes of answers that nobody reads.
    with serving(bind=f"ipc://{tmp_path}/daemon") as url, Peer(url) as other:
        with Peer(url, receive_room=1) as flood:
            until = time.monotonic() + SOON_S
            while not other.status()["counters"]["closed_peers"]:
                assert time.monotonic() < until, "its session is still open"
                for _ in range(200):
                    flood.say(said)
            assert other.status()["counters"]["sessions"] == 1
        pixels = other.send(0)
        assert other.hear()["pixels"] == (pixels + np.uint16(1)).tobytes()


@pytest.mark.parametrize(
    "changes",
    [{"credit": 0}, {"credit": -4}, {"silence_s": 0.0}, {"silence_s": float("nan")}],
    ids=str,
)
def test_a_welcome_that_lets_no_frame_be_sent_breaks_the_protocol(changes: dict[str, Any]) -> None:
    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        return [[{**WELCOME, **changes}]] if message["type"] == "HELLO" else []

    with pretender(answer) as url, pytest.raises(ProtocolError), Client(url, timeout=1) as client:
        client.enhance(frame(0), FACTS)
