"""One answer per frame, and which one: seen by a bare peer on the wire."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import numpy as np
import pytest

from daemons import AddOne, Gate, Peer, frame, frame_header, loader, running, serving
from scanside.runtime.daemon.server import Daemon
from scanside.runtime.errors import EngineError, GoldenMismatchError
from scanside.runtime.frame import Pixels
from scanside.runtime.manifest import Sizes


def outcome(result: dict[str, Any]) -> tuple[str, str | None]:
    assert result["type"] == "RESULT", result
    return result["outcome"], result["reason"]


def is_original(result: dict[str, Any], pixels: Pixels) -> bool:
    assert (result["rows"], result["columns"], result["scale"]) == (*pixels.shape, 1)
    return bool(result["pixels"] == pixels.tobytes())


def test_an_enhanced_result_says_all_that_the_contract_names() -> None:
    with serving() as url, Peer(url) as peer:
        assert peer.welcome["version"] == 1
        assert peer.welcome["credit"] == 4
        assert peer.welcome["transports"] == ["inline"]
        assert peer.welcome["model"]["name"] == "test"
        pixels = peer.send(7, capture_time=123.5)
        result = peer.hear()
        assert outcome(result) == ("enhanced", None)
        assert (result["stream"], result["seq"]) == ("s", 7)
        assert (result["rows"], result["columns"], result["dtype"]) == (16, 24, "uint16")
        assert result["pixels"] == (pixels + np.uint16(1)).tobytes()
        assert (result["scale"], result["model"], result["engine"]) == (1, "f" * 64, "numpy 1")
        assert result["signed"] is False
        assert result["capture_time"] == 123.5
        assert set(result["timings"]) == {"queue", "preparation", "inference", "reply"}
        assert result["timings"]["inference"] > 0


class Twice(AddOne):
    def run(self, pixels: Pixels, facts: Any, out: Pixels | None = None) -> Pixels:
        return pixels.repeat(2, axis=1).repeat(2, axis=2)


def test_a_model_that_magnifies_says_so_and_its_bypass_does_not() -> None:
    with serving(Twice(), scale=2) as url, Peer(url) as peer:
        pixels = peer.send(0)
        result = peer.hear()
        assert (result["rows"], result["columns"], result["scale"]) == (32, 48, 2)
        assert result["pixels"] == pixels.repeat(2, 0).repeat(2, 1).tobytes()
        pixels = peer.send(1, deadline_ms=1e-6)
        result = peer.hear()
        assert outcome(result) == ("bypassed", "late")
        assert is_original(result, pixels)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rows": 15}, "malformed"),
        ({"rows": 17}, "malformed"),
        ({"rows": -16, "columns": -24}, "malformed"),
        ({"rows": 0, "columns": 0}, "malformed"),
        ({"rows": 2**40, "columns": 2**40}, "malformed"),
        ({"dtype": "uint8"}, "malformed"),
        ({"dtype": "float16"}, "malformed"),
        ({"bits_stored": 17}, "malformed"),
        ({"slope": 0.0}, "malformed"),
        ({"slope": math.nan}, "malformed"),
        ({"photometric": "RGB"}, "malformed"),
        ({"deadline_ms": math.nan}, "malformed"),
        ({"deadline_ms": 0}, "malformed"),
        ({"deadline_ms": -1.0}, "malformed"),
        ({"deadline_ms": 60_000.1}, "malformed"),
        ({"padding": [-(2**40), 0]}, "malformed"),
        ({"modality": "MR"}, "wrong modality"),
        ({"rows": 24, "columns": 16}, "too large"),
    ],
    ids=str,
)
def test_what_must_not_be_touched_is_refused(changes: dict[str, Any], reason: str) -> None:
    with serving(sizes=Sizes(maximum=24)) as url, Peer(url) as peer:
        pixels = frame(1, (8, 48)) if reason == "too large" else frame(1)
        if reason == "too large":
            changes = {}
        peer.send(0, pixels, **changes)
        result = peer.hear()
        assert outcome(result) == ("refused", reason)
        assert result["pixels"] is None
        assert result["text"]
        peer.send(1)
        assert outcome(peer.hear()) == ("enhanced", None)


@pytest.mark.parametrize("parts", [[], [b""], [b"x" * 767], [b"x" * 769]])
def test_pixels_that_do_not_match_their_header_are_refused(parts: list[bytes]) -> None:
    with serving() as url, Peer(url) as peer:
        assert outcome(peer.ask(frame_header(frame(0)), *parts)) == ("refused", "malformed")
        assert peer.hears_nothing()


@pytest.mark.parametrize("seq", [5, 4, 0])
def test_a_seq_that_does_not_grow_is_a_duplicate(seq: int) -> None:
    with serving() as url, Peer(url) as peer:
        peer.send(5)
        assert outcome(peer.hear()) == ("enhanced", None)
        peer.send(seq)
        assert outcome(peer.hear()) == ("refused", "duplicate")
        peer.send(seq, stream="other")
        assert outcome(peer.hear()) == ("enhanced", None)
        peer.send(9)
        assert outcome(peer.hear()) == ("enhanced", None)


def test_a_frame_over_the_credit_is_refused_and_the_others_are_not() -> None:
    gate = Gate()
    with serving(AddOne(gate), credit=2) as url, Peer(url) as peer, Peer(url) as other:
        for seq in range(3):
            peer.send(seq)
        result = peer.hear()
        assert outcome(result) == ("refused", "over credit")
        assert result["seq"] == 2
        other.send(0)
        assert other.status()["counters"]["queue"] == 3
        for _ in range(3):
            gate.open.release()
        assert [peer.hear()["seq"] for _ in range(2)] == [0, 1]
        assert outcome(other.hear()) == ("enhanced", None)
        gate.open.release()
        peer.send(3)
        assert outcome(peer.hear()) == ("enhanced", None)


def test_a_frame_in_the_engine_at_its_deadline_is_bypassed_and_its_output_thrown_away() -> None:
    gate = Gate()
    with serving(AddOne(gate)) as url, Peer(url) as peer:
        began = time.monotonic()
        pixels = peer.send(0, deadline_ms=30.0)
        gate.wait_entered()
        result = peer.hear()
        assert 0.03 <= time.monotonic() - began < 1
        assert outcome(result) == ("bypassed", "late")
        assert is_original(result, pixels)
        gate.open.release()
        gate.open.release()
        peer.send(1)
        assert (peer.hear()["seq"], peer.hears_nothing()) == (1, True)
        assert peer.status()["counters"]["bypassed"] == {"late": 1}


def test_a_frame_that_still_waits_at_its_deadline_never_reaches_the_engine() -> None:
    gate = Gate()
    engine = AddOne(gate)
    with serving(engine) as url, Peer(url) as peer:
        peer.send(0)
        gate.wait_entered()
        peer.send(1, deadline_ms=1.0)
        assert outcome(peer.hear()) == ("bypassed", "late")
        gate.open.release()
        assert outcome(peer.hear()) == ("enhanced", None)
        assert peer.hears_nothing()
        assert engine.seen == 1


def test_output_that_comes_together_with_its_deadline_is_late() -> None:
    # The poll's timeout is in whole milliseconds: the output rings before it.
    def slow(pixels: Pixels) -> None:
        time.sleep(0.0196)

    with serving(AddOne(slow)) as url, Peer(url) as peer:
        for seq in range(10):
            peer.send(seq, deadline_ms=19.5)
            assert outcome(peer.hear()) == ("bypassed", "late")


def test_a_newer_frame_supersedes_the_waiting_one_of_its_latest_stream_only() -> None:
    gate = Gate()
    with serving(AddOne(gate)) as url, Peer(url) as peer:
        peer.send(0, mode="latest")
        gate.wait_entered()
        other = peer.send(0, stream="other", mode="latest")
        peer.send(1)
        waiting = peer.send(2, mode="latest")
        peer.send(3, mode="latest")
        result = peer.hear()
        assert outcome(result) == ("bypassed", "superseded")
        assert result["seq"] == 2
        assert is_original(result, waiting)
        for _ in range(4):
            gate.open.release()
        results = [peer.hear() for _ in range(4)]
        said = [(r["stream"], r["seq"]) for r in results]
        assert said == [("s", 0), ("other", 0), ("s", 1), ("s", 3)]
        assert all(outcome(r) == ("enhanced", None) for r in results)
        assert results[1]["pixels"] == (other + np.uint16(1)).tobytes()


def test_a_latest_stream_never_runs_out_of_credit() -> None:
    gate = Gate()
    with serving(AddOne(gate), credit=2) as url, Peer(url) as peer:
        peer.send(0, mode="latest")
        gate.wait_entered()
        peer.send(1, mode="latest")
        for seq in range(2, 50):
            peer.send(seq, mode="latest")
            assert peer.hear()["seq"] == seq - 1
        gate.open.release()
        gate.open.release()
        assert [peer.hear()["seq"] for _ in range(2)] == [0, 49]
        assert peer.status()["counters"]["bypassed"] == {"superseded": 48}


def failing(pixels: Pixels) -> None:
    raise EngineError("a value is not finite")


def broken(pixels: Pixels) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("before", [failing, broken])
def test_a_frame_that_the_engine_fails_on_comes_back_as_it_was(before: Any) -> None:
    engine = AddOne(before)
    with serving(engine) as url, Peer(url) as peer:
        pixels = peer.send(0)
        result = peer.hear()
        assert outcome(result) == ("bypassed", "engine error")
        assert is_original(result, pixels)
        engine.before = lambda pixels: None
        peer.send(1)
        assert outcome(peer.hear()) == ("enhanced", None)
        assert peer.status()["state"] == "READY"


class Wrong(AddOne):
    def __init__(self, output: Pixels) -> None:
        super().__init__()
        self.output = output

    def run(self, pixels: Pixels, facts: Any, out: Pixels | None = None) -> Pixels:
        return self.output


@pytest.mark.parametrize(
    "output",
    [
        np.zeros((1, 16, 23), np.uint16),
        np.zeros((16, 24), np.uint16),
        np.full((1, 16, 24), np.nan, np.float32),
    ],
)
def test_output_of_another_shape_or_type_is_an_engine_error(output: Pixels) -> None:
    with serving(Wrong(output)) as url, Peer(url) as peer:
        pixels = peer.send(0)
        result = peer.hear()
        assert outcome(result) == ("bypassed", "engine error")
        assert is_original(result, pixels)


def test_an_engine_that_writes_into_its_input_cannot_spoil_the_original() -> None:
    def write(pixels: Pixels) -> None:
        pixels[...] = 0

    with serving(AddOne(write)) as url, Peer(url) as peer:
        pixels = peer.send(0)
        assert is_original(peer.hear(), pixels)


def test_three_errors_in_a_row_degrade_until_the_self_test_passes_again() -> None:
    fit = threading.Event()
    fit.set()
    checks: list[bool] = []

    def check() -> None:
        checks.append(fit.is_set())
        if not fit.is_set():
            raise EngineError("still broken")

    engine = AddOne(failing)
    with serving(engine, check=check, retry_s=(0.01, 0.02)) as url, Peer(url) as peer:
        fit.clear()
        pixels = [peer.send(seq) for seq in range(4)]
        results = [peer.hear() for _ in range(4)]
        assert all(outcome(r) == ("bypassed", "engine error") for r in results)
        assert all(is_original(results[i], pixels[i]) for i in range(4))
        peer.wait_for("DEGRADED")
        assert engine.seen == 3
        peer.send(4)
        assert outcome(peer.hear())[0] == "bypassed"
        while len(checks) < 4:
            peer.status()
        engine.before = lambda pixels: None
        fit.set()
        peer.wait_for("READY")
        peer.send(5)
        assert outcome(peer.hear()) == ("enhanced", None)


def test_until_the_self_test_passed_frames_are_bypassed() -> None:
    let_pass = threading.Event()

    def check() -> None:
        assert let_pass.wait(10)

    with running(loader(AddOne(), check=check)) as daemon, Peer(daemon.url) as peer:
        peer.wait_for("SELF_TEST")
        with Peer(daemon.url) as newcomer:
            assert newcomer.welcome["model"] is None
        pixels = peer.send(0)
        result = peer.hear()
        assert outcome(result) == ("bypassed", "not ready")
        assert is_original(result, pixels)
        peer.say(frame_header(frame(0), seq=1), b"short")
        assert outcome(peer.hear()) == ("refused", "malformed")
        let_pass.set()
        peer.wait_for("READY")
        peer.send(2)
        assert outcome(peer.hear()) == ("enhanced", None)


def test_draining_finishes_what_waits_and_bypasses_what_comes() -> None:
    gate = Gate()
    engine = AddOne(gate)
    with running(loader(engine)) as daemon, Peer(daemon.url) as peer:
        peer.wait_for("READY")
        peer.send(0)
        gate.wait_entered()
        peer.send(1)
        assert peer.status()["counters"]["queue"] == 2
        daemon.drain()
        peer.wait_for("DRAINING")
        pixels = peer.send(2)
        result = peer.hear()
        assert outcome(result) == ("bypassed", "draining")
        assert is_original(result, pixels)
        gate.open.release()
        gate.open.release()
        results = [peer.hear() for _ in range(2)]
        assert [outcome(r)[0] for r in results] == ["enhanced"] * 2
        assert peer.hear()["type"] == "BYE"
    assert engine.closed


def test_draining_ends_within_its_limit() -> None:
    gate = Gate()
    with running(loader(AddOne(gate)), drain_s=0.05) as daemon, Peer(daemon.url) as peer:
        peer.wait_for("READY")
        pixels = [peer.send(seq) for seq in range(2)]
        gate.wait_entered()
        assert peer.status()["counters"]["queue"] == 2
        daemon.drain()
        results = [peer.hear() for _ in range(2)]
        assert all(outcome(r) == ("bypassed", "draining") for r in results)
        assert all(is_original(results[i], pixels[i]) for i in range(2))
        assert peer.hear()["type"] == "BYE"
        gate.open.release()
        gate.open.release()


def test_an_engine_that_fails_while_draining_changes_nothing_about_the_drain() -> None:
    gate = Gate()

    def fail(pixels: Pixels) -> None:
        gate(pixels)
        raise EngineError("not now")

    with running(loader(AddOne(fail)), drain_s=0.5) as daemon, Peer(daemon.url) as peer:
        peer.wait_for("READY")
        pixels = [peer.send(seq) for seq in range(4)]
        assert peer.status()["counters"]["queue"] == 4
        daemon.drain()
        peer.wait_for("DRAINING")
        for _ in range(4):
            gate.open.release()
        results = [peer.hear() for _ in range(4)]
        assert [r["reason"] for r in results] == ["engine error"] * 4
        assert all(is_original(results[i], pixels[i]) for i in range(4))
        assert peer.hear()["type"] == "BYE"


def test_a_load_that_fails_ends_the_daemon_with_its_error() -> None:
    def load(report: Any) -> Any:
        raise EngineError("no engine")

    with Daemon(load, "tcp://127.0.0.1:*") as daemon, pytest.raises(EngineError, match="no engine"):
        daemon.run()


def test_a_self_test_that_fails_ends_the_daemon_and_closes_the_engine() -> None:
    def check() -> None:
        raise GoldenMismatchError("off")

    engine = AddOne()
    with Daemon(loader(engine, check=check), "tcp://127.0.0.1:*") as daemon:
        with pytest.raises(GoldenMismatchError):
            daemon.run()
        assert engine.closed
        assert not engine.seen
