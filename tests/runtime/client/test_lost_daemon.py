"""The client beside a daemon that is not there, not yet or no more: no frame is lost."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import zmq

from daemons import (
    FACTS,
    SOON_S,
    WELCOME,
    AddOne,
    Answer,
    frame,
    is_original,
    pretender,
    result_for,
    serving,
)
from scanside.runtime import Client, wire
from scanside.runtime.errors import RequestTimeoutError, ServerUnreachableError, TransportError


def test_nobody_there_is_said_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(ServerUnreachableError, match=r"no daemon answers.*scanside serve"):
        Client("tcp://127.0.0.1:1", timeout=0.2)
    assert 0.2 <= time.monotonic() - began < 2


@pytest.mark.parametrize(
    "url", ["", "here", "tcp://127.0.0.1", "tcp://127.0.0.1:port", "ftp://x:1"]
)
def test_what_is_no_address_is_a_typed_error(url: str) -> None:
    with pytest.raises(TransportError, match="not an address"):
        Client(url)


def test_a_client_started_before_its_daemon_waits_for_it() -> None:
    with serving() as url:
        pass
    made: list[str] = []

    def work() -> None:
        with Client(url) as client:
            made.append(client.enhance(frame(0), FACTS).outcome)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.05)
    with serving(bind=url):
        thread.join(SOON_S)
    assert made == ["enhanced"]


def test_a_lost_daemon_leaves_its_frames_unanswered_and_a_new_one_never_sees_them() -> None:
    """The pretender takes three frames, answers the first and vanishes."""
    seen: list[int] = []
    answers: list[Answer] = []

    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        if message["type"] != "FRAME":
            return []
        seen.append(message["seq"])
        answers.append([result_for(message), parts[0]])
        return [answers[0]] if len(answers) == 3 else []

    with pretender(answer) as url:
        client = Client(url, timeout=1.0)
        results = client.stream([(frame(number), FACTS) for number in range(6)])
        assert next(results).outcome == "enhanced"
    began = time.monotonic()
    rest = list(results)
    assert time.monotonic() - began < 2
    assert seen == [0, 1, 2]
    assert [r.seq for r in rest] == [1, 2, 3, 4, 5]
    for result in rest:
        assert (result.outcome, result.reason) == ("unanswered", None)
        assert is_original(result, frame(result.seq))
        assert result.text
    engine = AddOne()
    with client:
        with serving(engine, bind=url):
            until = time.monotonic() + SOON_S
            while client.enhance(frame(9), FACTS).outcome != "enhanced":
                assert time.monotonic() < until
            assert client.model is not None
            assert client.model.name == "test"
            assert engine.seen == 1
        assert client.enhance(frame(9), FACTS).outcome == "unanswered"
        with pytest.raises(ServerUnreachableError, match="has stopped"):
            client.status()


def test_without_a_daemon_the_scanner_does_not_wait() -> None:
    with serving() as url:
        client = Client(url)
    with client:
        client.enhance(frame(0), FACTS)  # the first one after the loss looks for a new daemon
        began = time.monotonic()
        for _ in range(20):
            assert client.enhance(frame(0), FACTS).outcome == "unanswered"
        assert time.monotonic() - began < 0.5


def test_a_daemon_that_hangs_leaves_frames_unanswered_and_status_times_out() -> None:
    with pretender(lambda message, parts: []) as url, Client(url, timeout=0.1) as client:
        result = client.enhance(frame(0), FACTS)
        assert result.outcome == "unanswered"
        assert is_original(result, frame(0))
        with pytest.raises(RequestTimeoutError, match="no status"):
            client.status()


def test_the_unanswered_original_is_not_the_callers_buffer() -> None:
    with pretender(lambda message, parts: []) as url, Client(url, timeout=0.05) as client:
        pixels = frame(0)
        result = client.enhance(pixels, FACTS)
        pixels[:] = 0
        assert is_original(result, frame(0))


def test_a_session_closed_for_its_silence_is_renewed_without_losing_a_frame() -> None:
    with serving(silence_s=0.08) as url, Client(url) as client:
        for _ in range(2):
            time.sleep(0.2)
            assert client.enhance(frame(0), FACTS).outcome == "enhanced"
        assert client.status().counters.errors >= 2


def test_an_idle_client_asks_whether_its_daemon_is_still_there() -> None:
    said: list[str] = []

    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        said.append(message["type"])
        if message["type"] == "HELLO":
            return [[WELCOME | {"silence_s": 0.02}]]
        if message["type"] == "PING":
            return [[{"type": "PONG"}]]
        return [[result_for(message), parts[0]]] if message["type"] == "FRAME" else []

    with pretender(answer) as url, Client(url) as client:
        client.enhance(frame(0), FACTS)
        time.sleep(0.03)
        assert client.enhance(frame(0), FACTS).outcome == "enhanced"
    assert said[:4] == ["HELLO", "FRAME", "PING", "FRAME"]


def test_a_ping_as_old_as_the_silence_does_not_vouch_for_the_daemon() -> None:
    said: list[str] = []

    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        said.append(message["type"])
        if said == ["HELLO"]:
            return [[WELCOME | {"silence_s": 0.02}]]
        if message["type"] == "STATUS":
            return [[{"type": "PING"}]]
        return [[{"type": "BYE"}]] if message["type"] == "HELLO" else []  # it hangs

    with pretender(answer) as url, Client(url, timeout=0.3) as client:
        assert client._line.session is not None
        client._line.session.send(wire.StatusRequest())  # brings a PING, which nobody reads
        time.sleep(0.05)
        assert client.enhance(frame(0), FACTS).outcome == "unanswered"
    assert "FRAME" not in said


def test_the_model_of_a_new_daemon_is_the_one_that_is_told() -> None:
    with serving() as url:
        client = Client(url)
        assert client.model is not None
        assert client.model.name == "test"
    with client, serving(bind=url, name="other"):
        client.status()
        assert client.model is not None
        assert client.model.name == "other"


def test_a_daemon_that_dies_before_its_welcome_may_be_followed_by_another() -> None:
    context = zmq.Context()
    dying = context.socket(zmq.ROUTER)
    dying.bind("tcp://127.0.0.1:*")
    url = dying.get_string(zmq.LAST_ENDPOINT)
    outcomes: list[str] = []

    def work() -> None:
        with Client(url) as client:
            outcomes.append(client.enhance(frame(0), FACTS).outcome)

    thread = threading.Thread(target=work)
    thread.start()
    assert dying.poll(int(SOON_S * 1000))
    assert len(dying.recv_multipart()) == 2
    dying.close(0)
    context.term()
    with serving(bind=url):
        thread.join(SOON_S)
    assert outcomes == ["enhanced"]
