"""The client: exactly one result per frame, whatever happens to the daemon."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import zmq

from daemons import (
    FACTS,
    SOON_S,
    WELCOME,
    AddOne,
    Answer,
    Gate,
    frame,
    loader,
    pretender,
    result_for,
    running,
    serving,
)
from scanside.runtime import Client, FrameFacts, Result, wire
from scanside.runtime.errors import (
    ProtocolError,
    RefusedFrameError,
    RequestTimeoutError,
    ServerUnreachableError,
    TransportError,
)
from scanside.runtime.frame import Pixels


@pytest.fixture(autouse=True, params=["shm", "inline"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How pixels travel, in every test here."""
    if request.param == "inline":
        monkeypatch.setattr("scanside.runtime.client.transports", lambda *_, **__: ("inline",))


def is_original(result: Result, pixels: Pixels) -> bool:
    return result.pixels is not None and np.array_equal(result.pixels, pixels)


def test_enhance_gives_pixels_and_all_that_is_known_of_them() -> None:
    with serving() as url, Client(url) as client:
        pixels = frame(0)
        result = client.enhance(pixels, FACTS, capture_time=12.5)
        assert result.pixels is not None
        np.testing.assert_array_equal(result.pixels, pixels + np.uint16(1))
        assert result.outcome is wire.Outcome.ENHANCED
        assert (result.reason, result.seq, result.stream) == (None, 0, "default")
        assert (result.model, result.engine, result.signed) == ("f" * 64, "numpy 1", False)
        assert result.timings.inference > 0
        assert result.round_trip_ms > result.timings.inference
        assert result.capture_time == 12.5
        assert client.enhance(pixels, FACTS).seq == 1
        assert client.enhance(pixels, FACTS, stream="other").seq == 0
        with pytest.raises(ValueError, match="read-only"):
            result.pixels[0, 0] = 0


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (700, 3)])
def test_every_type_and_layout_of_pixels_arrives(dtype: str, shape: tuple[int, int]) -> None:
    bits = np.dtype(dtype).itemsize * 8
    facts = FrameFacts(modality="CT", bits_stored=bits, signed=dtype.startswith("i"))
    pixels = np.random.default_rng(0).integers(-128, 127, shape).astype(dtype)
    variants = [
        pixels,
        np.asfortranarray(pixels),
        pixels.astype(pixels.dtype.newbyteorder(">")),
        np.repeat(pixels, 2, axis=1)[:, ::2],
    ]
    with serving() as url, Client(url) as client:
        for result in client.stream((variant, facts) for variant in variants):
            assert result.pixels is not None
            assert result.pixels.dtype == np.dtype(dtype)
            np.testing.assert_array_equal(result.pixels, pixels + pixels.dtype.type(1))


def test_the_model_is_known_and_asked_for_again_when_it_was_not_ready() -> None:
    let_pass = threading.Event()
    load = loader(AddOne(), check=lambda: let_pass.wait(SOON_S))
    with running(load) as daemon, Client(daemon.url) as client:
        assert client.model is None
        pixels = frame(0)
        result = client.enhance(pixels, FACTS)
        assert (result.outcome, result.reason) == ("bypassed", "not ready")
        assert is_original(result, pixels)
        let_pass.set()
        until = time.monotonic() + SOON_S
        while client.model is None and time.monotonic() < until:
            pass
        assert client.model is not None
        assert client.model.name == "test"
        assert client.status().state == "READY"


def test_a_stream_is_pipelined_up_to_the_credit_and_keeps_its_order() -> None:
    gate = Gate()
    taken: list[int] = []

    def camera() -> Iterator[tuple[Pixels, FrameFacts]]:
        for number in range(10):
            taken.append(number)
            if number == 2:
                gate.open.release()
            yield frame(number), FACTS

    with serving(AddOne(gate), credit=3) as url, Client(url) as client:
        assert client.credit == 3
        results = client.stream(camera())
        first = next(results)
        assert taken == [0, 1, 2]
        for _ in range(9):
            gate.open.release()
        rest = [first, *results]
        assert [r.seq for r in rest] == list(range(10))
        assert all(r.outcome == "enhanced" for r in rest)
        for number, result in enumerate(rest):
            assert is_original(result, frame(number) + np.uint16(1))


def test_a_stream_left_early_and_others_beside_it_do_not_disturb_each_other() -> None:
    with serving(credit=2) as url, Client(url) as client:
        frames = [(frame(number), FACTS) for number in range(6)]
        left = client.stream(frames)
        next(left)
        one, two = client.stream(frames, stream="one"), client.stream(frames, stream="two")
        for number in range(6):
            for results in (one, two):
                assert is_original(next(results), frame(number) + np.uint16(1))
            assert client.enhance(frame(50), FACTS).outcome == "enhanced"
        assert not client.status().counters.refused


def test_credit_is_kept_over_all_streams_of_a_client_together() -> None:
    gate = Gate()
    with serving(AddOne(gate), credit=2) as url, Client(url) as client:
        frames = [(frame(number), FACTS) for number in range(4)]
        gate.open.release()
        one, two = client.stream(frames, stream="one"), client.stream(frames, stream="two")
        results = [next(one)]
        opener = threading.Timer(0.05, lambda: [gate.open.release() for _ in range(7)])
        opener.start()
        results += [*two, *one]
        opener.join()
        assert [r.outcome for r in results] == ["enhanced"] * 8


def test_a_daemon_that_is_behind_by_its_whole_credit_has_not_gone() -> None:
    """ZeroMQ's own limit on what waits to be sent must not be below what the daemon grants."""
    read_on = threading.Event()

    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        if message["type"] == "HELLO":
            return [[{**WELCOME, "credit": 200}]]
        read_on.wait(SOON_S)
        return [[result_for(message), *parts]] if message["type"] == "FRAME" else []

    pixels = frame(0, (512, 512))
    with pretender(answer, room=1) as url, Client(url) as client:
        on_their_way = [
            client._submit(pixels, FACTS, "s", None, wire.Mode.LOSSLESS, None) for _ in range(200)
        ]
        read_on.set()
        assert {client._wait(one).outcome for one in on_their_way} == {"enhanced"}


def test_a_latest_stream_yields_its_superseded_frames_too() -> None:
    gate = Gate()
    with serving(AddOne(gate)) as url, Client(url) as client:

        def camera() -> Iterator[tuple[Pixels, FrameFacts]]:
            for number in range(4):
                yield frame(number), FACTS
                if number == 0:
                    gate.wait_entered()
            assert client.status().counters.bypassed == {"superseded": 2}
            for _ in range(2):
                gate.open.release()

        results = list(client.stream(camera(), mode=wire.Mode.LATEST))
        assert [r.outcome.value for r in results] == [
            "enhanced",
            "bypassed",
            "bypassed",
            "enhanced",
        ]
        assert [r.reason for r in results] == [None, "superseded", "superseded", None]
        assert is_original(results[1], frame(1))


def test_a_deadline_gives_the_original_back_in_time() -> None:
    gate = Gate()
    with serving(AddOne(gate)) as url, Client(url) as client:
        began = time.monotonic()
        result = client.enhance(frame(0), FACTS, deadline_ms=20)
        assert time.monotonic() - began < 1
        assert (result.outcome, result.reason) == ("bypassed", "late")
        assert is_original(result, frame(0))
        gate.open.release()


def test_a_refusal_has_no_pixels_and_says_why() -> None:
    facts = FrameFacts(modality="MR", bits_stored=16, signed=False)
    with serving() as url, Client(url) as client:
        result = client.enhance(frame(0), facts)
        assert (result.outcome, result.reason) == ("refused", "wrong modality")
        assert result.pixels is None
        assert "CT" in result.text


def test_a_frame_over_the_wires_limit_is_refused_without_being_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving() as url, Client(url) as client:
        monkeypatch.setattr(wire, "PIXELS_LIMIT", frame(0).nbytes - 1)
        result = client.enhance(frame(0), FACTS)
        assert (result.outcome, result.reason) == ("refused", "too large")
        assert not client.status().counters.refused


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 4, 4), np.uint16),
        np.zeros(4, np.uint16),
        np.zeros((4, 4)),
        np.zeros((4, 4), object),
        np.zeros((0, 4), np.uint8),
    ],
)
def test_what_cannot_be_a_frame_is_refused_at_once(pixels: Any) -> None:
    with serving() as url, Client(url) as client:
        with pytest.raises(RefusedFrameError, match="not a frame"):
            client.enhance(pixels, FACTS)
        with pytest.raises(RefusedFrameError, match="name"):
            client.enhance(frame(0), FACTS, stream="s" * 65)
        assert client.enhance(frame(0), FACTS).outcome == "enhanced"


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


BAD_RESULTS: dict[str, dict[str, Any]] = {
    "another frame's": {"seq": 77},
    "rows": {"rows": 15},
    "dtype": {"dtype": "int16"},
    "scale": {"scale": 2},
    "scale of a bypass": {"scale": 2, "rows": 32, "columns": 48, "outcome": "bypassed"},
    "scale 0": {"scale": 0, "rows": 0, "columns": 0},
    "unanswered": {"outcome": "unanswered"},
    "refused, with pixels": {"outcome": "refused"},
    "an unknown outcome": {"outcome": "improved"},
    "an unknown reason": {"outcome": "bypassed", "reason": "tired"},
    "not a message": {"type": "RESULTS"},
}


@pytest.mark.parametrize("changes", BAD_RESULTS.values(), ids=BAD_RESULTS)
def test_a_result_that_does_not_fit_its_frame_is_a_protocol_error(changes: dict[str, Any]) -> None:
    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        if message["type"] != "FRAME":
            return []
        return [[result_for(message, **changes), *parts]]

    with pretender(answer) as url, Client(url) as client, pytest.raises(ProtocolError):
        client.enhance(frame(0), FACTS)


@pytest.mark.parametrize("pixels", [[], [b""], [frame(0).tobytes()[1:]]])
def test_pixels_that_do_not_match_their_result_are_a_protocol_error(pixels: list[bytes]) -> None:
    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        return [[result_for(message), *pixels]] if message["type"] == "FRAME" else []

    with pretender(answer) as url, Client(url) as client, pytest.raises(ProtocolError):
        client.enhance(frame(0), FACTS)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (WELCOME | {"version": 2}, ProtocolError),
        ({"type": "ERROR", "code": "no common version", "text": "speaks 2"}, ProtocolError),
        ({"type": "ERROR", "code": "busy", "text": "full"}, ServerUnreachableError),
        ({"type": "WELCOME"}, ProtocolError),
        ([1, 2], ProtocolError),
    ],
)
def test_a_peer_that_is_no_daemon_of_ours_is_told_apart(answer: Any, error: type) -> None:
    with pretender(lambda message, parts: [[answer]]) as url, pytest.raises(error):
        Client(url, timeout=1.0)


def test_a_client_belongs_to_one_thread() -> None:
    with serving() as url, Client(url) as client:
        errors: list[str] = []

        def work() -> None:
            for use in (
                lambda: client.enhance(frame(0), FACTS),
                lambda: list(client.stream([(frame(0), FACTS)])),
                client.status,
                client.close,
            ):
                with pytest.raises(TransportError, match="one Client in each thread") as raised:
                    use()
                errors.append(str(raised.value))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(SOON_S)
        assert len(errors) == 4
        assert client.enhance(frame(0), FACTS).outcome == "enhanced"


def test_a_bypass_that_claims_another_scale_is_a_protocol_error() -> None:
    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        if message["type"] != "FRAME":
            return []
        changes = {"outcome": "bypassed", "reason": "late", "scale": 2, "rows": 32, "columns": 48}
        return [[result_for(message, **changes), parts[0] * 4]]

    with pretender(answer) as url, Client(url) as client, pytest.raises(ProtocolError):
        client.enhance(frame(0), FACTS)


def test_after_a_protocol_error_there_is_a_new_session() -> None:
    said: list[str] = []

    def answer(message: dict[str, Any], parts: list[bytes]) -> list[Answer]:
        said.append(message["type"])
        if message["type"] != "FRAME":
            return []
        changes = {"rows": 1} if said.count("FRAME") == 1 else {}
        return [[result_for(message, **changes), parts[0]]]

    with pretender(answer) as url, Client(url) as client:
        with pytest.raises(ProtocolError):
            client.enhance(frame(0), FACTS)
        assert client.enhance(frame(0), FACTS).outcome == "enhanced"
    assert said[:4] == ["HELLO", "FRAME", "HELLO", "FRAME"]


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


def test_many_clients_may_share_a_process() -> None:
    with serving() as url, Client(url) as one, Client(url) as two:
        for number in range(5):
            for client in (one, two):
                assert is_original(client.enhance(frame(number), FACTS), frame(number) + 1)
