"""The client: exactly one result per frame, in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from daemons import (
    FACTS,
    SOON_S,
    WELCOME,
    AddOne,
    Answer,
    Gate,
    frame,
    is_original,
    loader,
    pretender,
    result_for,
    running,
    serving,
)
from scanside.runtime import Client, FrameFacts, wire
from scanside.runtime.errors import RefusedFrameError, TransportError
from scanside.runtime.frame import Pixels


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


def test_many_clients_may_share_a_process() -> None:
    with serving() as url, Client(url) as one, Client(url) as two:
        for number in range(5):
            for client in (one, two):
                assert is_original(client.enhance(frame(number), FACTS), frame(number) + 1)
