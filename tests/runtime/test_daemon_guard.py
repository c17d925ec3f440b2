"""The guard on the wire: what a bundle's bounds do not allow comes back as it was, counted."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import numpy as np
import pytest

from bundles import make_manifest
from daemons import FACTS, SOON_S, Peer, Residual, serving
from scanside.runtime import Client, FrameFacts
from scanside.runtime.frame import Pixels
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import Guard

GUARD = Guard(largest_change=0.05, largest_rms=0.02)
ROWS, COLUMNS = 24, 32


def soft_tissue(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(1000, 1100, (ROWS, COLUMNS)).astype(np.uint16)


def ask(peer: Peer, seq: int) -> tuple[dict[str, Any], Pixels]:
    pixels = peer.send(seq, soft_tissue(seq), bits_stored=12, intercept=-1024.0)
    return peer.hear(), pixels


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize(
    ("value", "at"),
    [(0.06, None), (0.03, None), (-0.06, (3, 5)), (float("nan"), (0, 0)), (float("inf"), (0, 0))],
    ids=["too large", "too much in all", "one pixel", "nan", "infinite"],
)
def test_a_result_out_of_bounds_comes_back_as_it_was(
    scale: int, value: float, at: tuple[int, int] | None
) -> None:
    engine = Residual(scale)
    with serving(engine, scale=scale, guard=GUARD) as url, Peer(url) as peer:
        engine.value = 0.01
        result, pixels = ask(peer, 0)
        assert (result["outcome"], result["scale"]) == ("enhanced", scale)
        assert result["pixels"] != pixels.tobytes()
        engine.value, engine.at = value, at
        result, pixels = ask(peer, 1)
        assert (result["outcome"], result["reason"]) == ("bypassed", "guard")
        assert (result["rows"], result["columns"], result["scale"]) == (ROWS, COLUMNS, 1)
        assert result["pixels"] == pixels.tobytes()
        status = peer.status()
        assert status["guarded"] is True
        assert status["counters"]["bypassed"] == {"guard": 1}
        assert status["counters"]["enhanced"] == 1
        engine.value, engine.at = 0.01, None
        assert ask(peer, 2)[0]["outcome"] == "enhanced"


def test_odd_frames_do_not_have_the_engine_tested_all_day() -> None:
    engine, checks = Residual(), []
    with serving(engine, guard=GUARD, check=lambda: checks.append(1)) as url, Peer(url) as peer:
        engine.value = 0.2
        for seq in range(12):
            assert ask(peer, seq)[0]["reason"] == "guard"
        assert peer.status()["state"] == "READY"
        assert len(checks) == 1


def test_an_engine_that_gives_no_numbers_any_more_is_tested_again() -> None:
    engine, checks = Residual(), []
    with serving(engine, guard=GUARD, check=lambda: checks.append(1)) as url, Peer(url) as peer:
        engine.value = float("nan")
        for seq in range(3):
            assert ask(peer, seq)[0]["reason"] == "guard"
        until = time.monotonic() + SOON_S
        while len(checks) < 2:
            assert time.monotonic() < until
            peer.status()
        peer.wait_for("READY")


def test_a_bundle_without_bounds_is_not_guarded_and_status_says_so() -> None:
    engine = Residual()
    with serving(engine) as url, Peer(url) as peer:
        engine.value = 0.5
        assert ask(peer, 0)[0]["outcome"] == "enhanced"
        assert peer.status()["guarded"] is False
        engine.value = float("nan")
        assert ask(peer, 1)[0]["reason"] == "guard"


def test_a_run_of_guarded_frames_is_one_line_of_the_log(daemon_log: io.StringIO) -> None:
    engine = Residual()
    with serving(engine, guard=GUARD) as url, Peer(url) as peer:
        engine.value = 0.2
        for seq in range(20):
            ask(peer, seq)
        session = peer.welcome["session"]
    lines = [json.loads(line) for line in daemon_log.getvalue().splitlines()]
    told = [line for line in lines if line["event"] == "result out of bounds"]
    assert [(line["session"], line["frames"]) for line in told] == [(session, 1)]


def test_the_base_of_the_guard_is_the_frame_itself() -> None:
    """Where nothing is changed, nothing is measured: the cubic of a 2x frame is no change."""
    facts = make_manifest()
    words = soft_tissue(3)
    frame = FrameMap(words, FACTS, facts.intensity)
    doubled = np.empty((2 * ROWS, 2 * COLUMNS), np.float32)
    for top in range(0, ROWS, 8):
        for row, column, part in frame.unchanged(top, top + 8, 2):
            doubled[2 * top : 2 * top + 16][row::2, column::2] = part
    np.testing.assert_array_equal(doubled, frame.apply(None, 2).astype(np.float32))


@pytest.mark.parametrize("shared_memory", [True, False])
def test_frames_that_are_held_against_the_bounds_beside_the_next_keep_their_verdicts(
    shared_memory: bool,
) -> None:
    class Turns(Residual):
        """Every third result is out of bounds."""

        def run(self, pixels: Pixels, facts: Any, out: Pixels | None = None) -> Pixels:
            self.value = 0.06 if int(pixels[0, 0, 0]) % 3 == 0 else 0.01
            return super().run(pixels, facts)

    facts = FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0)
    frames = [np.full((ROWS, COLUMNS), 1000 + number, np.uint16) for number in range(60)]
    for one in frames:
        one[0, 1] += 1  # else there is nothing to see in it
    with serving(Turns(), guard=GUARD) as url, Client(url, shared_memory=shared_memory) as client:
        results = list(client.stream((one, facts) for one in frames))
    for one, result in zip(frames, results, strict=True):
        stopped = int(one[0, 0]) % 3 == 0
        assert result.outcome.value == ("bypassed" if stopped else "enhanced")
        assert np.array_equal(result.pixels, one) == stopped
