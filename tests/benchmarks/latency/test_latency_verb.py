"""`bench latency` and `bench gaps` as a user calls them, and their bars on made-up figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("onnx", reason="needs the extra [workstation]")
pytest.importorskip("torch", reason="needs the extra [workstation]")
pytest.importorskip("onnxruntime")

from fake_jetsons.tree import make_jetson
from scanside.benchmarks.cli import bench
from scanside.benchmarks.evidence.paired import Estimate
from scanside.benchmarks.evidence.record import Record, read_records
from scanside.benchmarks.latency import gaps as gaps_run
from scanside.benchmarks.latency import whole
from scanside.benchmarks.latency.gap_report import gap_verdicts
from scanside.benchmarks.latency.gaps import GapEffort, Gaps
from scanside.benchmarks.latency.networks import BASELINE, DEFAULT_LAYOUT
from scanside.benchmarks.latency.schedule import Ladder, Paced
from scanside.benchmarks.latency.tails import tail_of
from scanside.benchmarks.latency.verdicts import network_verdicts
from scanside.benchmarks.latency.whole import Effort, NetworkRow
from scanside.runtime.errors import EngineUnavailableError

TINY = Effort(rounds=3, calls=2, network_rounds=3, starts=1)
TINY_GAPS = GapEffort(seconds=1.0, ladder_s=0.2, block_s=0.02, gaps=(0.0, 0.01))


def call(*words: str | Path) -> str:
    result = CliRunner().invoke(bench, [str(word) for word in words], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def measured(near_identity: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Record]:
    folder = tmp_path_factory.mktemp("latency")
    history = folder / "history.jsonl"
    root = make_jetson(folder / "root", mode="15W")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole, "SHORT", TINY)
        output = call(
            *("latency", near_identity, "--short", "--engine", "onnxruntime", "--side", "64"),
            *("--threads", "1", "--batch", "1", "--batch", "2", "--streams", "1", "--streams", "2"),
            *("--root", root, "--history", history),
        )
    (record,) = read_records(history)
    return output, record


def test_every_cell_is_in_the_record(measured):
    record = measured[1]
    found = {one.name for one in record.figures}
    key = ("engine=onnxruntime", "side=64", "threads=1")
    for transport in ("network", "in process", "shm", "ipc", "tcp"):
        for metric in ("p50", "maximum", "jitter"):
            assert (*key, f"transport={transport}", metric) in found
    batch = ("batch=2", *key, "transport=network", "p50")
    streams = ("engine=onnxruntime", "side=64", "streams=2", "threads=1", "transport=tcp")
    assert batch in found
    assert (*streams, "round trip") in found
    assert not any("p99.9" in name for name in found)  # of six frames there is none
    assert record.bundle.startswith("near-identity")
    assert record.notes == []


def test_ratios_have_intervals_and_blocks(measured):
    ratios = [one for one in measured[1].figures if one.metric == "round trip"]
    assert len(ratios) == 3 * 2
    for one in ratios:
        assert one.low <= one.value <= one.high
        assert one.over == "in process"
        assert len(one.rounds) == 3


def test_start_and_memory_are_told_for_every_engine(measured):
    found = {one.metric: one for one in measured[1].figures if "engine" in one.of}
    assert 0 < found["start to ready"].value < found["start to first answer"].value
    assert 20 < found["PSS"].value < found["RSS"].value < 2000
    assert "first answer s" in measured[0]


def test_a_jetsons_state_goes_along(measured):
    output, record = measured
    assert record.machine.power["power mode"] == "15W"
    assert record.machine.power["standing"] == "not verified on hardware"
    assert "not verified on hardware" in output
    (clock,) = [one for one in record.figures if one.metric == "GPU clock"]
    assert len(clock.rounds) == (1 + 3) + (1 + 3)  # around each round, of the grid and the networks


def test_an_engine_that_is_not_there_is_a_typed_error(near_identity: Path, tmp_path: Path):
    command = ["latency", str(near_identity), "--engine", "abacus", "--short"]
    result = CliRunner().invoke(bench, [*command, "--history", str(tmp_path / "h")])
    assert isinstance(result.exception, EngineUnavailableError)
    assert not (tmp_path / "h").exists()


def test_the_float_networks_take_part_in_both_layouts(tiny_run: Path, tiny_bundle: Path):
    from scanside.benchmarks.latency.networks import eager_threads, network_calls
    from scanside.runtime.bundle import Bundle
    from scanside.train.run import Run

    with eager_threads(1):
        found = network_calls(Bundle.open(tiny_bundle), Run(tiny_run), side=64, threads=1)
        answers = {name: one() for name, one in found.items() if "unpruned" in name}
    assert list(found)[:2] == [BASELINE, DEFAULT_LAYOUT]
    first = answers[BASELINE]
    for name, one in answers.items():
        assert np.abs(np.asarray(one) - first).max() < 1e-4, name


def network_row(name: str, ms: float, faster: float, side: int = 512) -> NetworkRow:
    estimate = Estimate(faster, faster * 0.95, faster * 1.05)
    return NetworkRow(
        name=name,
        side=side,
        threads=2,
        tail=tail_of(np.full((10, 1), ms)),
        faster={BASELINE: estimate, DEFAULT_LAYOUT: estimate},
        rounds={},
    )


@pytest.mark.parametrize(
    ("faster", "side", "passed", "word"),
    [
        (9.0, 512, True, ""),
        (7.0, 512, False, ""),
        (8.1, 512, True, "unresolved"),
        (7, 64, True, ""),
    ],
)
def test_the_bar_of_the_fastest_engine_can_be_missed(faster, side, passed, word):
    rows = [
        network_row(BASELINE, 100, 1.0, side),
        network_row("onnxruntime, INT8", 30, 3.3, side),
        network_row("openvino, INT8", 100 / faster, faster, side),
    ]
    checks = list(network_verdicts(rows))
    assert len(checks) == 2
    assert all(one.passed is passed and "openvino" in one.what for one in checks)
    assert all(one.measured.startswith(word) for one in checks)
    assert list(network_verdicts(rows[1:])) == []  # without a run there is nothing to judge


# Gaps


def test_the_gap_run_draws_and_keeps_what_it_found(
    near_identity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gaps_run, "SHORT", TINY_GAPS)
    output = call(
        *("gaps", near_identity, "--short", "--engine", "onnxruntime", "--side", "64"),
        *("--threads", "1", "--rate", "100", "--transport", "ipc", "--plots", tmp_path / "plots"),
        *("--history", tmp_path / "history.jsonl"),
    )
    (record,) = read_records(tmp_path / "history.jsonl")
    assert record.setting["rate"] == "100"
    found = {one.name: one for one in record.figures}
    tail = found["run=schedule", "transport=ipc", "excess tail"]
    assert tail.over == "in process"
    assert tail.low <= tail.value <= tail.high
    assert ("gap=10 ms", "transport=in process", "not kept warm") in found
    assert "by chance" in output
    for name in ("gaps-schedule.png", "gaps-ladder.png"):
        assert (tmp_path / "plots" / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("value", "short", "passed", "bar"),
    [
        (1.1, False, True, "at most 1.2 times"),
        (1.3, False, False, "at most 1.2 times"),
        (1.3, True, True, "no bar"),
    ],
)
def test_the_bar_of_the_tail_can_be_missed(value, short, passed, bar):
    one = Estimate(value, value - 0.05, value + 0.05)
    paced = Paced({"ipc": np.ones((2, 2))}, {}, 0.0, 2, 600.0)
    found = Gaps(
        paced=paced,
        ladder=Ladder({}, 0.0),
        spread={"ipc": one, "in process": one},
        excess={"ipc": one},
        excess_blocks={},
        costs={},
        pays={0.5: Estimate(1.2, 1.1, 1.3), 1.0: Estimate(1.2, 1.0, 1.3)},
        together={},
        notes=[],
    )
    tail, pays, not_sure = gap_verdicts(found, short=short)
    assert (tail.passed, tail.bar) == (passed, bar)
    assert "it pays here" in pays.measured
    assert "does not pay here" in not_sure.measured
