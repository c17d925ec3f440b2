"""The peers' arithmetic, on made-up numbers: ratios of overheads, lines of code, bars, records."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra [workstation]")

from scanside.benchmarks.evidence.paired import overhead
from scanside.benchmarks.peers.overheads import median_of, ratio_of_overheads
from scanside.benchmarks.peers.records import race_figures
from scanside.benchmarks.peers.rounds import Flow, Trips
from scanside.benchmarks.peers.services import (
    FASTAPI,
    FASTAPI_TCP,
    GRPC,
    HTTP,
    IPC,
    OURS,
    PYTRITON,
    SHARED,
    TCP,
)
from scanside.benchmarks.peers.suite import Contender, Race
from scanside.benchmarks.peers.tables import guard_lines
from scanside.benchmarks.peers.usercode import count_lines, lines_of
from scanside.benchmarks.peers.verdicts import serving_verdicts
from scanside.benchmarks.serving.verdicts import lines
from scanside.runtime.errors import BenchmarkError

RNG = np.random.default_rng(0)


def test_a_known_ratio_of_overheads_is_found_through_drift_and_on_two_floors():
    drift = np.linspace(0, 5, 200)[:, None]
    floor = 3 + drift + RNG.normal(0, 0.1, (200, 5))
    slow_floor = 4 + drift + RNG.normal(0, 0.1, (200, 5))
    mine = floor + 1 + RNG.normal(0, 0.1, floor.shape)
    theirs = slow_floor + 8 + RNG.normal(0, 0.1, floor.shape)
    found = ratio_of_overheads(mine, floor, theirs, slow_floor)
    assert found.value == pytest.approx(1 / 8, abs=0.01)
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.01  # a wrong floor or unpaired drift is ten times that


def test_intervals_of_a_ratio_hold_the_truth_as_often_as_they_say():
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        floor = 3 + rng.normal(0, 0.3, (40, 5))
        mine = floor + 2 + rng.normal(0, 0.5, (40, 1))
        theirs = floor + 4 + rng.normal(0, 0.5, (40, 1))
        found = ratio_of_overheads(mine, floor, theirs, floor, seed)
        held += found.low <= 0.5 <= found.high
    assert 88 <= held <= 100


def test_over_an_overhead_of_nothing_a_ratio_has_no_end():
    floor = RNG.normal(10, 1, (50, 5))
    nothing = RNG.normal(10, 1, (50, 5))
    assert ratio_of_overheads(floor + 1, floor, nothing, floor).high == float("inf")


def test_what_does_not_pair_is_no_ratio():
    one, other = np.ones((3, 5)), np.ones((2, 5))
    with pytest.raises(ValueError, match="pair"):
        ratio_of_overheads(one, one, other, other)
    with pytest.raises(ValueError, match="nothing"):
        median_of(np.ones((0, 5)))


def test_lines_are_those_with_code():
    source = '''"""Docstring
of a module."""

# a comment
import sys  # counts once


def run(
    one,
    two,
):
    """Docstring."""
    text = """not
a docstring"""
    return one, two, text


class A:
    """Docstring."""
    value = (
        1,
        # between
        2,
    )
'''
    assert count_lines(source) == 1 + 4 + 2 + 1 + 1 + 4
    assert count_lines("") == 0


def test_every_file_of_user_code_is_counted_without_its_library():
    for name in ("servers.fastapi_raw", "servers.litserve_raw", "servers.pytriton_raw"):
        assert 15 < lines_of(f"scanside.benchmarks.peers.{name}") < 50
    with pytest.raises(BenchmarkError, match="not there"):
        lines_of("scanside.benchmarks.peers.servers.nobody")


# Verdicts on a race that never was


def contender(name: str, peer: str, added: float, rate: float, *, guard: float = np.nan):
    floor = np.full((10, 5), 2.0)
    times = floor + added
    trips, still = Trips(times, floor + guard), Trips(floor, np.full(floor.shape, np.nan))
    flow = Flow(np.full((6, 1), rate), np.full((6, 1), 3.0), np.full((6, 1), 1.0))
    return Contender(name, peer, trips, still, flow, overhead(times, floor))


def race(**changed: float) -> Race:
    added = {TCP: 2.0, IPC: 1.0, SHARED: 0.5, FASTAPI_TCP: 2.5, HTTP: 9.0, GRPC: 8.0, **changed}
    peers = {
        TCP: OURS,
        IPC: OURS,
        SHARED: OURS,
        FASTAPI_TCP: FASTAPI,
        HTTP: PYTRITON,
        GRPC: PYTRITON,
    }
    found = [
        contender(
            name, peers[name], ms, 400 / (2 + ms), guard=0.2 if peers[name] == OURS else np.nan
        )
        for name, ms in added.items()
    ]
    return Race("near-identity", 512, found, found[0].flow)


def verdict(of: Race, words: str, over: str) -> str:
    judged = lines(list(serving_verdicts([of])))
    (line,) = [line for line in judged if words in line and f"that of {over}" in line]
    return line


def test_bars_are_for_the_better_of_pytritons_two_ways():
    assert verdict(race(), TCP, GRPC).startswith("met   ")  # 2 / 8 <= 1 / 3
    assert verdict(race(), IPC, GRPC).startswith("met   ")
    assert verdict(race(), SHARED, GRPC).startswith("met   ")  # 0.5 / 8 <= 1 / 10
    assert verdict(race(**{GRPC: 9.5}), SHARED, HTTP).startswith("met   ")


@pytest.mark.parametrize(
    ("name", "added", "over"),
    [
        (TCP, 2.7, GRPC),
        (IPC, 1.7, GRPC),
        (SHARED, 0.9, GRPC),
        (TCP, 2.6, FASTAPI_TCP),
        (IPC, 1.6, FASTAPI_TCP),
    ],
)
def test_an_overhead_beyond_its_bar_is_missed(name, added, over):
    assert verdict(race(**{name: added}), name, over).startswith("MISSED")


def test_a_rate_below_the_best_peers_is_missed():
    slow = race(**{SHARED: 3.0})
    judged = [line for line in lines(list(serving_verdicts([slow]))) if "frames a second" in line]
    (missed,) = [line for line in judged if line.startswith("MISSED")]
    assert SHARED in missed
    assert FASTAPI_TCP in missed
    assert sum(line.startswith("met   ") for line in judged) == 2


def test_only_the_first_race_is_judged():
    first, second = race(), race()._replace(side=1024)
    judged = list(serving_verdicts([first, second]))
    assert len(judged) == 2 * (5 + 3)
    assert all(one.bar == "no bar" for one in judged[8:])


def test_our_overhead_is_told_with_and_without_engine_and_guard():
    told = guard_lines(race())
    assert len(told) == 3
    assert "overhead 2.00" in told[0]
    assert "outside engine and guard 1.80" in told[0]
    assert "in a daemon, 0.20" in told[0]


def test_a_record_has_every_ratio_with_its_rounds():
    figures = list(race_figures(race()))
    names = [one.name for one in figures]
    assert len(set(names)) == len(names)
    ratios = [one for one in figures if one.metric == "overhead ratio"]
    assert len(ratios) == 3 * 3
    assert all(len(one.rounds) == 10 and one.over and one.better == "lower" for one in ratios)
    (found,) = [one for one in ratios if one.of["contender"] == TCP and one.of["against"] == GRPC]
    assert found.value == pytest.approx(0.25)
    theirs = [one for one in figures if one.of["contender"] == GRPC]
    assert {one.better for one in theirs} == {"neither"}
