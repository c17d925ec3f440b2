"""Clients, sizes, cores: the counting and the arithmetic, and one small run of the whole."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("onnx", reason="needs the extra [workstation]")

from scanside.benchmarks.cli import bench
from scanside.benchmarks.evidence.record import read_records
from scanside.benchmarks.scale import measure
from scanside.benchmarks.scale.busy import (
    CLIENT,
    CLIENTS,
    DAEMON,
    ENGINE,
    EVERY,
    THREAD,
    busy_parts,
    thread_seconds,
    what_saturates,
)
from scanside.benchmarks.scale.cells import (
    Cell,
    Curve,
    Placing,
    core_counts,
    placing_of,
    plan_of,
)
from scanside.benchmarks.scale.client import Found
from scanside.benchmarks.scale.measure import Block, Frames, Measured, judged, patient
from scanside.benchmarks.scale.records import saturation_lines, scale_figures
from scanside.benchmarks.scale.saturation import find_saturation, p99_of
from scanside.benchmarks.serving.worker import Work
from scanside.runtime.errors import BenchmarkError

APART, SAME = Placing([0, 1], [2, 3]), Placing([0, 1], [0, 1])


def rates(*middles: float, noise: float = 0.001) -> dict[int, np.ndarray]:
    """Of 1, 2, 4, ... clients, 12 rounds that share the machine's moment."""
    rng = np.random.default_rng(0)
    moment = rng.normal(1, 0.2, (12, 1))
    return {
        2**power: middle * moment * rng.normal(1, noise, (12, 1))
        for power, middle in enumerate(middles)
    }


# What is measured


def test_all_transports_are_measured_on_half_the_cores_and_one_on_the_others(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    plan = plan_of(short=False)
    cells = list(plan.cells())
    assert (plan.cores, plan.main) == ((1, 2, 3, 4), 2)
    assert len(cells) == len(set(cells)) == 3 * 4 * 5 + 3 * 1 * 4 * 5
    assert {one.transport for one in cells if one.cores != 2} == {"shm"}


def test_what_is_named_is_measured(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    plan = plan_of(short=True, transports=["tcp"], sides=[64], cores=[3], clients=[5, 2])
    assert list(plan.cells()) == [Cell("tcp", 64, 3, 2), Cell("tcp", 64, 3, 5)]


def test_more_cores_than_there_are_is_an_error(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    with pytest.raises(BenchmarkError, match="3 cores"):
        plan_of(short=True, cores=[3])


@pytest.mark.parametrize(("there", "counts"), [(1, [1]), (4, [1, 2, 3, 4]), (12, [1, 2, 4, 8, 12])])
def test_cores_are_counted_up_to_all(there, counts):
    assert core_counts(there) == counts


def test_clients_are_on_the_other_cores_or_counted_in():
    assert placing_of(1, [2, 3, 5]) == Placing([2], [3, 5])
    assert not placing_of(1, [2, 3, 5]).shared
    assert placing_of(2, [2, 3]) == Placing([2, 3], [2, 3])
    assert placing_of(2, [2, 3]).shared


def test_what_would_take_too_long_is_left_out_and_said():
    frames = {512: Frames(Path(), Path(), 1.0)}
    cells = [Cell("shm", 512, 1, count) for count in (1, 4, 8)]
    kept, notes = patient(iter(cells), frames)
    assert kept == cells[:2]
    assert "512 x 512 with 8 clients is left out" in notes[0]


# What saturates, and where


def test_the_smallest_count_close_to_the_best_is_found_through_noise_of_the_machine():
    found = find_saturation(rates(100, 180, 198, 200))
    assert (found.clients, found.earliest, found.latest) == (4, 4, 4)
    assert not found.open


def test_a_rate_that_still_rises_is_open():
    found = find_saturation(rates(100, 200, 400))
    assert (found.clients, found.best, found.open) == (4, 4, True)
    assert str(found) == "4 clients, or beyond"


def test_a_flat_line_saturates_at_once():
    found = find_saturation(rates(200, 199, 198))
    assert (found.clients, found.latest, found.open) == (1, 1, False)
    assert str(found) == "1 client"


def test_a_rate_that_falls_saturates_before_it_falls():
    assert find_saturation(rates(100, 200, 150)).clients == 2


def test_noise_within_the_rounds_widens_where_it_may_be():
    found = find_saturation(rates(188, 190, 200, noise=0.1))
    assert found.earliest < found.latest


def test_p99_is_of_all_trips_and_its_interval_of_whole_blocks():
    quiet, slow = [1.0] * 100, [9.0] * 100
    assert p99_of([quiet] * 10) == (1.0, 1.0, 1.0)
    found = p99_of([quiet] * 19 + [slow])
    assert (found.value, found.low, found.high) == (9.0, 1.0, 9.0)


def work(frames: int = 10, others: int = 0, seconds: float = 2.0, cpu: float = 0.5) -> Work:
    return Work(frames, others, seconds, [5.0] * (frames + others), cpu, 0.9)


def test_each_part_is_busy_for_its_share_of_the_block():
    before, after = {1: 10.0, 2: 5.0}, {1: 11.0, 2: 5.5, 3: 0.5}
    shares = busy_parts(before, after, [work(), work(cpu=1.5)], APART, 2.0)
    assert shares == pytest.approx(
        {ENGINE: 0.9, THREAD: 0.5, CLIENT: 0.75, DAEMON: 2 / 4, CLIENTS: 2 / 4}
    )
    assert busy_parts(before, after, [work(cpu=1.0)], SAME, 2.0)[EVERY] == pytest.approx(3 / 4)


def test_what_is_busy_is_named_busiest_first():
    assert what_saturates({ENGINE: 0.9, DAEMON: 0.97, CLIENT: 0.5}) == (
        f"{DAEMON} (97%), {ENGINE} (90%)"
    )
    assert what_saturates({ENGINE: 0.6, CLIENT: 0.5}).startswith("nothing is busy all the time")


def test_the_times_of_a_process_are_those_of_its_threads(tmp_path):
    for number, (schedstat, stat) in {
        7: ("2500000000 1 1", None),
        8: (None, "8 (a name) (S) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 1"),
    }.items():
        folder = tmp_path / "7" / "task" / str(number)
        folder.mkdir(parents=True)
        for name, words in (("schedstat", schedstat), ("stat", stat)):
            if words is not None:
                (folder / name).write_text(words)
    found = thread_seconds(7, tmp_path)
    assert found == {7: 2.5, 8: 200 / os.sysconf("SC_CLK_TCK")}


def test_this_process_is_read():
    before = sum(thread_seconds(os.getpid()).values())
    sum(number * number for number in range(3_000_000))
    assert sum(thread_seconds(os.getpid()).values()) > before


# What a block is worth


def verdict(done: Found, shown: Found | None = None, *, shared: bool = False) -> Block | str:
    first = shown or Found(transport="inline")
    return judged([first], [done], APART, {1: 0.0}, {1: 1.0}, shared=shared)


def test_a_rate_is_all_enhanced_frames_over_the_longest_client():
    clients = [Found(transport="inline", work=work(10)), Found(work=work(20, seconds=4.0))]
    found = judged(clients, clients, APART, {1: 0.0}, {1: 1.0}, shared=False)
    assert isinstance(found, Block)
    assert found.per_second == 30 / 4
    assert found.by_messages == 0  # nobody was to share memory
    assert len(found.round_trips) == 30


def test_one_frame_that_was_not_enhanced_and_no_rate_counts():
    assert verdict(Found(work=work(10, others=1))) == "1 of 11 frames were not enhanced"


def test_an_answer_that_differs_stops_everything():
    with pytest.raises(BenchmarkError, match="differs"):
        verdict(Found(work=work(), wrong=True))
    with pytest.raises(BenchmarkError, match="differs"):
        judged([Found(wrong=True)], [], APART, {}, {}, shared=False)


def test_an_error_of_a_client_is_the_reason():
    assert judged([Found(error="it broke")], [], APART, {}, {}, shared=False) == "it broke"


def test_clients_without_shared_memory_are_counted():
    found = verdict(Found(work=work()), Found(transport="inline"), shared=True)
    assert isinstance(found, Block)
    assert found.by_messages == 1
    found = verdict(Found(work=work()), Found(transport="shm"), shared=True)
    assert isinstance(found, Block)
    assert found.by_messages == 0


def test_a_cell_without_a_rate_is_not_tried_again_and_is_said():
    tried: list[Cell] = []
    cells = [Cell("shm", 64, 1, count) for count in (1, 2)]

    def block(cell: Cell) -> Block | str:
        tried.append(cell)
        return "a reason" if cell.clients == 2 else Block(1.0, [1.0], {}, 0)

    notes: list[str] = []
    found = measure._rounds(cells, block, 3, notes)
    assert tried.count(cells[1]) == 1
    assert tried.count(cells[0]) == 3 + measure.WARM_UP
    assert {cell: len(blocks) for cell, blocks in found.items()} == {cells[0]: 3}
    assert notes == ["shm, 64 x 64, daemon on 1 core, 2 clients has no rate: a reason"]


def test_a_record_has_rates_speed_ups_and_where_it_ends():
    plan = plan_of(short=True, cores=[1], clients=[1, 2], rounds=6)
    busy = {ENGINE: 0.5, DAEMON: 0.95}
    blocks = {
        Cell("ipc", 512, 1, count): [
            Block(moment * rate, [1.0, 2.0], busy, 0) for moment in (1, 2, 1, 3, 1, 2)
        ]
        for count, rate in ((1, 100.0), (2, 150.0))
    }
    made = Measured("m", plan, {1: APART}, blocks, [])
    figures = {one.name: one for one in scale_figures(made)}
    assert len(figures) == len(scale_figures(made)) == 2 + 2 + 1 + 1 + 2
    where = {"transport": "ipc", "side": "512", "cores": "1", "model": "m"}
    (faster,) = [one for one in figures.values() if one.metric == "speed-up"]
    assert (faster.value, faster.low, faster.high) == pytest.approx((1.5, 1.5, 1.5))
    assert faster.of == {**where, "clients": "2"}
    assert faster.over == "1 client"
    assert len(faster.rounds) == 6
    (end,) = [one for one in figures.values() if one.metric == "saturates at"]
    assert (end.value, end.of, end.better) == (2, where, "neither")
    assert f"{DAEMON} (95%)" in saturation_lines(made)[0]
    assert made.curves() == [Curve("ipc", 512, 1)]


# The whole


def test_a_small_run_measures_keeps_and_draws(tmp_path):
    history, plot = tmp_path / "h.jsonl", tmp_path / "p.svg"
    words = [
        "scale",
        "--side",
        "64",
        "--cores",
        "1",
        "--clients",
        "1",
        "--clients",
        "2",
        "--rounds",
        "2",
        "--seconds",
        "0.1",
    ]
    before = os.sched_getaffinity(0)
    result = CliRunner().invoke(
        bench, [*words, "--history", str(history), "--plot", str(plot)], env={"COLUMNS": "160"}
    )
    assert result.exit_code == 0, (result.output, result.exception)
    assert os.sched_getaffinity(0) == before
    (record,) = read_records(history)
    rated = {one.of["transport"] for one in record.figures if one.metric == "rate"}
    assert rated == {"shm", "ipc", "tcp"}
    assert all(one.value > 0 for one in record.figures if one.metric in ("rate", "p99"))
    assert not any("no rate" in note or "as messages" in note for note in record.notes)
    busy = [one.value for one in record.figures if one.metric == "busy"]
    assert busy
    assert 0 < max(busy) < 400
    assert "saturates at" in result.output
    assert "<svg" in plot.read_text()


def test_a_plot_of_no_kind_is_refused_before_any_work(tmp_path):
    result = CliRunner().invoke(bench, ["scale", "--plot", str(tmp_path / "x.txt")])
    assert isinstance(result.exception, BenchmarkError)
