"""The drift monitor: what it raises, what it takes back, and what it leaves alone."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

from daemons import Peer, Residual, serving
from scanside.runtime.daemon.drift import (
    ENOUGH,
    EVERY,
    LITTLE,
    MUCH,
    SHIFT,
    STREAMS_KEPT,
    WINDOW,
    DriftMonitor,
    Kind,
    Window,
    measure,
)
from scanside.runtime.guard import Change
from scanside.runtime.manifest import GoldenNoise

GOLDEN = GoldenNoise(mean=0.0, standard_deviation=0.01)


def feed(window: Window, strength: float, frames: int = WINDOW, shift: float = 0.0) -> list[Any]:
    """The verdicts at each change."""
    return [window.kind for _ in range(frames) if window.add(strength, shift)]


@pytest.mark.parametrize(
    ("strength", "shift", "kind"),
    [
        (1.0, 0.0, None),
        (LITTLE * 1.1, 0.0, None),
        (LITTLE * 0.9, 0.0, Kind.TOO_LITTLE),
        (0.0, 0.0, Kind.TOO_LITTLE),
        (MUCH * 0.9, 0.0, None),
        (MUCH * 1.1, 0.0, Kind.TOO_MUCH),
        (1.0, SHIFT * 0.9, None),
        (1.0, SHIFT * 1.1, Kind.SHIFTED),
    ],
)
def test_the_limits(strength: float, shift: float, kind: Kind | None) -> None:
    window = Window()
    assert feed(window, strength, shift=shift) == ([kind] if kind else [])


def test_no_verdict_before_there_is_enough_to_judge() -> None:
    window = Window()
    assert feed(window, 0.0, ENOUGH - 1) == []
    assert feed(window, 0.0, EVERY) == [Kind.TOO_LITTLE]


def test_odd_slices_are_no_drift() -> None:
    window = Window()
    for number in range(4 * WINDOW):
        assert not window.add(100.0 if number % 5 == 0 else 0.5, 0.0)


def test_a_verdict_is_taken_back_only_well_within_the_limit() -> None:
    window = Window()
    assert feed(window, MUCH * 1.1) == [Kind.TOO_MUCH]
    assert feed(window, MUCH * 0.9, 4 * WINDOW) == []
    assert window.kind is Kind.TOO_MUCH
    assert feed(window, MUCH * 0.7) == [None]
    assert feed(window, MUCH * 0.9, 4 * WINDOW) == []


def test_noise_on_the_limit_does_not_flap() -> None:
    rng = np.random.default_rng(1)
    window = Window()
    changes = sum(window.add(MUCH * rng.normal(1.0, 0.05), 0.0) for _ in range(5000))
    assert changes <= 1


def test_strength_and_shift_of_a_change() -> None:
    assert measure(Change(0.1, 0.005, 0.003), GOLDEN) == pytest.approx((0.4, 0.75))
    assert measure(Change(0.0, 0.0, 0.0), GOLDEN) == (0.0, 0.0)
    tiny = LITTLE * 0.005  # one count of rounding is no shift, however one-sided
    assert measure(Change(tiny, tiny, tiny), GOLDEN) == (0.0, 0.0)
    strength, shift = measure(Change(0.02, 0.02, -0.02), GOLDEN)
    assert strength == 0.0
    assert shift > SHIFT


def monitor() -> tuple[DriftMonitor, list[tuple[str, str, Kind | None]]]:
    told: list[tuple[str, str, Kind | None]] = []
    return DriftMonitor(lambda m, s, w: told.append((m, s, w.kind))), told


def add(one: DriftMonitor, rms: float, frames: int, **changes: str) -> None:
    where = {"model": "m", "modality": "CT", "session": "a", "stream": "s", **changes}
    for _ in range(frames):
        one.add(**where, change=Change(rms, rms, 0.0), golden=GOLDEN)


def test_one_bad_stream_among_good_ones_is_told_and_forgotten_with_its_session() -> None:
    one, told = monitor()
    for _ in range(WINDOW):
        for stream in "xyz":
            add(one, 0.01, 1, stream=stream)
        add(one, 0.0, 1, session="b")
    assert told == [("CT", "b", Kind.TOO_LITTLE)]
    (status,) = one.status()
    assert (status.drifting, status.streams, status.frames) == ("", 1, 4 * WINDOW)
    one.forget("b")
    assert one.status()[0].streams == 0


def test_short_sessions_add_up_within_a_modality() -> None:
    one, told = monitor()
    for number in range(10):
        add(one, 0.0, 10, session=str(number))
        one.forget(str(number))
    assert told == [("CT", "", Kind.TOO_LITTLE)]


def test_modalities_and_models_are_judged_apart() -> None:
    one, told = monitor()
    add(one, 0.0, WINDOW)
    add(one, 0.01, WINDOW, modality="MR")
    assert [(d.modality, d.drifting) for d in one.status()] == [("CT", "too little"), ("MR", "")]
    add(one, 0.01, 1, model="another")
    assert [(d.modality, d.frames) for d in one.status()] == [("CT", 1)]
    assert told == [("CT", "", Kind.TOO_LITTLE), ("CT", "a", Kind.TOO_LITTLE)]


def test_streams_without_end_take_no_memory_without_end() -> None:
    one, _ = monitor()
    for number in range(3 * STREAMS_KEPT):
        add(one, 0.01, 1, stream=str(number))
    assert len(one._streams) == STREAMS_KEPT


def test_a_bundle_that_changes_nothing_by_design_is_not_judged() -> None:
    one, told = monitor()
    for _ in range(WINDOW):
        one.add("m", "CT", "a", "s", Change(0, 0, 0), GoldenNoise(mean=0.0, standard_deviation=0.0))
    assert not told
    assert not one.status()


def test_a_model_that_stops_working_shows_in_status_and_in_one_line_of_the_log(
    daemon_log: io.StringIO,
) -> None:
    engine = Residual()

    def send(peer: Peer, frames: range) -> None:
        for seq in frames:
            pixels = np.random.default_rng(seq).integers(1000, 1100, (24, 32)).astype(np.uint16)
            peer.send(seq, pixels, bits_stored=12, intercept=-1024.0, stream="DOE^JOHN")
            assert peer.hear()["outcome"] == "enhanced"

    with serving(engine, golden_noise=GOLDEN) as url, Peer(url) as peer:
        engine.noise = 0.01
        send(peer, range(WINDOW))
        status = peer.status()
        assert status["drifting"] is False
        assert status["drift"][0]["strength"] == pytest.approx(1.0, rel=0.1)
        engine.noise = 0.0
        send(peer, range(WINDOW, 3 * WINDOW))
        status = peer.status()
        assert status["drifting"] is True
        (drift,) = status["drift"]
        assert (drift["modality"], drift["drifting"], drift["streams"]) == ("CT", "too little", 1)
        engine.noise = 0.01
        send(peer, range(3 * WINDOW, 5 * WINDOW))
        assert peer.status()["drifting"] is False
        constant = np.full((24, 32), 1000, np.uint16)
        for seq in range(5 * WINDOW, 7 * WINDOW):
            peer.send(seq, constant, stream="DOE^JOHN")
            assert peer.hear()["outcome"] == "enhanced"
        assert peer.status()["drift"][0]["frames"] == 5 * WINDOW, "there is nothing to see in them"
        session = peer.welcome["session"]
        engine.noise = 0.0
        send(peer, range(7 * WINDOW, 9 * WINDOW))
        assert peer.status()["drift"][0]["streams"] == 1
        peer.say({"type": "BYE"})
        (drift,) = peer.status()["drift"]
        assert (drift["drifting"], drift["streams"]) == ("too little", 0)
    lines = [json.loads(line) for line in daemon_log.getvalue().splitlines()]
    told = [(one["drift"], one.get("session")) for one in lines if one["event"] == "drift"]
    kinds = ("too little", "over", "too little")
    assert told == [(kind, one) for kind in kinds for one in (None, session)]
    assert "DOE" not in daemon_log.getvalue()
