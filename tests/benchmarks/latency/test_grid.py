"""Which cells there are, and that what they time is what they say."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from scanside.benchmarks.latency import caller
from scanside.benchmarks.latency.cells import Stage, in_process, network_call
from scanside.benchmarks.latency.frames import asked_frames
from scanside.benchmarks.latency.grid import Grid, Point, points
from scanside.benchmarks.latency.rounds import WARM_UP, Cell, in_turn
from scanside.runtime import Client
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.errors import BenchmarkError

POINT = Point(engine="onnxruntime", side=64, threads=1, transport="network", batch=3)


def test_batches_are_of_networks_and_streams_of_daemons():
    grid = Grid(engines=("a",), transports=("network", "ipc"), batches=(1, 4), streams=(1, 3))
    found = [(one.transport, one.batch, one.streams) for one in points(grid)]
    assert found == [
        ("in process", 1, 1),
        ("network", 1, 1),
        ("network", 4, 1),
        ("ipc", 1, 1),
        ("ipc", 1, 3),
    ]


def test_every_cell_has_its_floor_and_a_name_of_its_own():
    grid = Grid(engines=("a", "b"), sides=(64, 128), threads=(1, 2), transports=("tcp", "shm"))
    found = list(points(grid))
    assert len(found) == 2 * 2 * 2 * (1 + 2 * 2)
    assert len({tuple(one.of.items()) for one in found}) == len(found)
    assert all(one.floor in found for one in found)


def test_every_cell_is_called_once_a_round_in_changing_order():
    seen: list[str] = []

    def cell(name: str) -> Cell:
        def call(calls: int) -> list[float]:
            seen.append(name)
            return [float(len(seen))] * calls

        return Cell({"name": name}, call)

    looked: list[int] = []
    times = in_turn([cell("a"), cell("b"), cell("c")], 20, 2, "", lambda: looked.append(len(seen)))
    assert [one.shape for one in times] == [(20, 2)] * 3
    rounds = [tuple(seen[first : first + 3]) for first in range(0, len(seen), 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) == 6
    assert times[0].min() > 3 * WARM_UP  # what came before does not count
    assert looked == [3 * (WARM_UP + done) for done in range(21)]


def test_an_engine_that_answers_otherwise_ends_it(near_identity: Path):
    bundle = Bundle.open(near_identity)
    engine = open_engine(bundle, "onnxruntime", 1)
    asked = asked_frames(bundle, engine, 64)
    assert len({one.words.tobytes() for one in asked}) == len(asked)
    assert len(in_process(engine, cycle(asked), 6)) == 6
    wrong = [one._replace(expected=one.expected ^ 1) for one in asked[2:3]]
    with pytest.raises(BenchmarkError, match="two answers"):
        in_process(engine, iter(asked[:2] + wrong), 3)


@pytest.mark.parametrize("transport", ["shm", "tcp"])
def test_a_daemon_that_answers_otherwise_ends_it(near_identity: Path, tmp_path: Path, transport):
    point = Point(engine="onnxruntime", side=64, threads=1, transport=transport)
    with ExitStack() as stack:
        stage = Stage(near_identity, tmp_path, stack)
        asked = stage.frames(point)
        cell = stage.cell(point)
        assert len(cell.call(5)) == 5
        with Client(stage.url(point)) as client:
            swapped = [asked[0]._replace(words=asked[1].words)]
            with pytest.raises(BenchmarkError, match="differs"):
                caller.call(client, iter(swapped), 1)


def test_streams_call_at_once_from_processes_of_their_own(near_identity: Path, tmp_path: Path):
    point = Point(engine="onnxruntime", side=64, threads=1, transport="ipc", streams=2)
    with ExitStack() as stack:
        stage = Stage(near_identity, tmp_path, stack)
        found = stage.cell(point).call(3)
        with Client(stage.url(point)) as client:
            counters = client.status().counters
        assert len(found) == 6
        assert counters.enhanced == 2 * (1 + 3)
        assert counters.sessions == 3


def test_frames_reach_another_process_as_they_are(near_identity: Path, tmp_path: Path):
    bundle = Bundle.open(near_identity)
    asked = asked_frames(bundle, open_engine(bundle, "onnxruntime", 1), 48)
    caller.write_frames(tmp_path / "frames", asked)
    for one, other in zip(asked, caller.read_frames(tmp_path / "frames"), strict=True):
        assert np.array_equal(one.words, other.words)
        assert np.array_equal(one.expected, other.expected)
        assert one.facts == other.facts


def test_a_batch_counts_per_frame_and_must_not_mix_its_frames(monkeypatch: pytest.MonkeyPatch):
    from scanside.benchmarks.latency import cells

    clock = iter(range(100))
    monkeypatch.setattr(cells.time, "perf_counter", lambda: float(next(clock)))
    call = network_call(lambda images: images * np.float32(0.5), POINT)
    assert call(2) == pytest.approx([1000 / 3] * 2)
    with pytest.raises(BenchmarkError, match="batch"):
        network_call(lambda images: images - images.mean(), POINT)


def test_a_network_that_changes_its_mind_ends_it():
    answers = iter([0.0] * 4 + [1.0])
    call = network_call(lambda images: np.full_like(images, next(answers)), POINT)
    with pytest.raises(BenchmarkError, match="two answers"):
        call(1)
