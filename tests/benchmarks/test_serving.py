"""The benchmark of serving: its arithmetic, its bundle, and one short run of the whole."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

pytest.importorskip("onnx", reason="needs the extra [workstation]")

from scanside.benchmarks.cli import bench
from scanside.benchmarks.evidence.paired import Estimate, overhead, ratio_of
from scanside.benchmarks.evidence.record import read_records
from scanside.benchmarks.served import daemon_of
from scanside.benchmarks.serving import suite
from scanside.benchmarks.serving.footprint import memory_of, sizes_in
from scanside.benchmarks.serving.frames import FACTS, ct_frames
from scanside.benchmarks.serving.identity import write_identity
from scanside.benchmarks.serving.load import send_deaf
from scanside.benchmarks.serving.roundtrip import FLOOR, contenders, measure
from scanside.benchmarks.serving.suite import Effort, Report
from scanside.benchmarks.serving.verdicts import lines, verdicts
from scanside.runtime import Client
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.errors import GoldenMismatchError, ScansideError
from scanside.runtime.golden import check_engine
from scanside.runtime.guard import check_result
from scanside.runtime.wire import Outcome

RNG = np.random.default_rng(0)
TINY = Effort(rounds=4, model_rounds=4, load_rounds=1, load_seconds=0.2, starts=1)


@pytest.fixture(scope="module")
def near_identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serving") / "near-identity.scanside"
    write_identity(path)
    return path


# The arithmetic


def test_a_known_overhead_is_found_through_drift_and_noise():
    drift = np.linspace(0, 5, 200)[:, None]  # the machine slows down in the course of the run
    floor = 10 + drift + RNG.normal(0, 0.1, (200, 5))
    found = overhead(floor + 2 + RNG.normal(0, 0.1, floor.shape), floor)
    assert found.added.value == pytest.approx(2, abs=0.05)
    assert found.added.low < 2 < found.added.high
    assert found.added.high - found.added.low < 0.1
    assert found.ratio.value == pytest.approx(14.5 / 12.5, abs=0.02)
    assert found.ratio.low < 14.5 / 12.5 < found.ratio.high
    assert (found.p50, found.floor_p50) == pytest.approx((14.5, 12.5), abs=0.3)


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        moment = rng.normal(0, 1, (40, 1))  # one round's calls share their moment
        floor = 10 + rng.normal(0, 0.3, (40, 5))
        found = overhead(floor + 1 + moment, floor, seed)
        held += found.added.low <= 1 <= found.added.high
    assert 88 <= held <= 100


def test_nothing_added_is_not_told_from_nothing():
    floor, mine = RNG.normal(10, 1, (2, 50, 5))
    found = overhead(mine, floor)
    assert found.added.low < 0 < found.added.high
    assert found.ratio.low < 1 < found.ratio.high


def test_rates_are_compared_round_by_round():
    alone = np.array([[100.0], [50.0], [80.0]])
    assert ratio_of(0.9 * alone, alone) == pytest.approx((0.9, 0.9, 0.9))


@pytest.mark.parametrize(("mine", "floor"), [((2, 5), (3, 5)), ((0, 5), (0, 5))])
def test_what_does_not_pair_is_no_figure(mine, floor):
    with pytest.raises(ValueError, match="pair"):
        overhead(np.ones(mine), np.ones(floor))
    with pytest.raises(ValueError, match="pair"):
        ratio_of(np.ones(mine), np.ones(floor))


def test_memory_is_read_as_the_kernel_writes_it():
    rollup = (
        "55780af10000-7fff25c21000 ---p 00000000 00:00 0                          [rollup]\n"
        "Rss:               87944 kB\n"
        "Pss:               51555 kB\n"
        "Pss_Dirty:         43197 kB\n"
    )
    assert memory_of(rollup) == pytest.approx((90.05, 52.79), abs=0.01)


def test_an_installation_is_what_lies_in_its_folder_but_pip(tmp_path):
    for name, size in {
        "numpy/core/a.so": 3_000_000,
        "numpy/b.py": 500_000,
        "six.py": 250_000,
        "pip/c.py": 9_000_000,
        "pip-24.0.dist-info/RECORD": 9_000_000,
        "setuptools/d.py": 9_000_000,
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\0" * size)
    found = sizes_in(tmp_path)
    assert found.by_name == {"numpy": 3.5, "six.py": 0.25}
    assert list(found.by_name) == ["numpy", "six.py"]
    assert found.total_mb == pytest.approx(3.75)


# The bundle


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_the_near_identity_passes_its_golden_frames(near_identity, name):
    pytest.importorskip(name)
    bundle = Bundle.open(near_identity)
    report = check_engine(open_engine(bundle, name, 1), bundle)
    assert report.worst.largest <= 1


def test_its_golden_frames_refuse_another_network(near_identity):
    bundle = Bundle.open(near_identity)
    engine = open_engine(bundle, "onnxruntime", 1)
    engine._network = lambda image: np.zeros_like(image)
    with pytest.raises(GoldenMismatchError):
        check_engine(engine, bundle)


def test_it_changes_pixels_and_its_guard_lets_that_through(near_identity):
    bundle = Bundle.open(near_identity)
    engine = open_engine(bundle, "onnxruntime", 1)
    for words in ct_frames(128):
        result = engine.run(words[np.newaxis], [FACTS])[0]
        assert (result != words).mean() > 0.5
        change, within = check_result(bundle.manifest, words, result, FACTS)
        assert within
        assert change is not None
        assert change.rms > 0


# The runs


def test_an_answer_that_differs_ends_the_measurement(near_identity, tmp_path):
    with contenders(near_identity, "onnxruntime", tmp_path) as calls:
        honest = dict(calls)

        def wrong(words):
            pixels, outside = honest["tcp"](words)
            return pixels ^ (np.arange(pixels.size).reshape(pixels.shape) == 77), outside

        with pytest.raises(ScansideError, match="differs"):
            measure({FLOOR: honest[FLOOR], "tcp": wrong}, "near-identity", 64, 1)


def test_a_deaf_client_loses_its_session_and_others_go_on(near_identity):
    options = ("--engine", "onnxruntime", "--threads", "1", "--allow-unsigned")
    with daemon_of(near_identity, *options) as served, Client(served.url) as client:
        assert served.start_s > 0
        assert Path(f"/proc/{served.pid}/smaps_rollup").exists()
        send_deaf(served.url, 512, 2.0)
        assert client.enhance(ct_frames(64, 1)[0], FACTS).outcome is Outcome.ENHANCED
        status = client.status()
        assert status.counters.enhanced > 4
        assert status.counters.closed_peers == 1


def test_a_daemon_does_not_fetch_its_memory_anew_for_each_frame(near_identity):
    options = ("--engine", "onnxruntime", "--threads", "1", "--allow-unsigned")
    words = ct_frames(512, 1)[0]
    with daemon_of(near_identity, *options) as served, Client(served.url) as client:

        def faults_of(frames: int) -> int:
            for _ in range(frames):
                client.enhance(words, FACTS)
            return int(Path(f"/proc/{served.pid}/stat").read_text().rpartition(")")[2].split()[7])

        before = faults_of(10)
        assert (faults_of(20) - before) / 20 < 50  # of some 1,500 pages


@pytest.fixture(scope="module")
def written(near_identity: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the verb printed of a run as short as it can be, and the folder of what it wrote."""
    folder = tmp_path_factory.mktemp("run")
    out, model = folder / "serving.json", folder / "model.scanside"
    model.write_bytes(near_identity.read_bytes())
    command = ["serving", str(model), "--short", "--out", str(out)]
    command += ["--history", str(folder / "history.jsonl")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite, "SHORT", TINY)
        patch.setattr(suite, "pin", lambda count: (0, 1))  # pytest's own process is not pinned
        result = CliRunner().invoke(bench, command, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output, folder


@pytest.fixture(scope="module")
def shown(written: tuple[str, Path]) -> tuple[str, Report]:
    """What the verb printed, and its JSON."""
    path = written[1] / "serving.json"
    return written[0], msgspec.json.decode(path.read_bytes(), type=Report)


def test_the_verb_prints_every_figure_beside_its_bar(shown):
    output, report = shown
    words = ("met   ", "MISSED", "       near-identity, ", "       model, ")
    judged = [line for line in output.splitlines() if line.startswith(words)]
    assert judged == lines(verdicts(report))
    assert len(judged) == 8 + 8 + 2 + 1 + 2
    assert {(trip.model, trip.side) for trip in report.trips} == {
        (name, side) for name in ("near-identity", "model") for side in (512, 1024)
    }
    assert all(set(trip.over) == {"shm", "ipc", "tcp", "tcp and CURVE"} for trip in report.trips)
    assert all(
        0 < trip.outside_ms[name] < trip.over[name].p99
        for trip in report.trips
        for name in trip.over
    )
    assert report.setting.versions.keys() >= {"scanside", "onnxruntime", "pyzmq"}
    assert report.setting.machine in output


def test_the_run_is_added_to_the_history(written, shown):
    (record,) = read_records(written[1] / "history.jsonl")
    report = shown[1]
    found = {one.name: one for one in record.figures}
    assert record.bench == "serving"
    assert record.bundle.startswith("near-identity 1.0.0 ")
    assert record.setting["effort"] == "short"
    assert record.machine.cores == sorted(os.sched_getaffinity(0))
    assert record.notes == []
    for trip in report.trips:
        for name, over in trip.over.items():
            key = (f"model={trip.model}", f"side={trip.side}", f"transport={name}", "round trip")
            ratio = found[key]
            assert (ratio.value, ratio.low, ratio.high) == over.ratio
            assert ratio.over == FLOOR
            assert len(ratio.rounds) == trip.rounds  # of so few rounds each is kept
            assert np.median(ratio.rounds) == pytest.approx(ratio.value, rel=0.5)
            assert found[(*key[:3], "p50")].value == over.p50
    for name, share in report.throughput.share.items():
        one = found[(f"load={name}", "side=1024", "share")]
        assert (one.value, one.better) == (share.value, "higher")
        assert one.rounds == report.throughput.share_rounds[name]
    deaf = found[("load=a client that does not read", "side=512", "p99 of others")]
    assert deaf.rounds == report.deafness.ratio_rounds
    assert found[("engine=onnxruntime", "idle RSS")].value == report.starts[0].rss_mb
    assert len(record.figures) == 4 * (2 + 4 * 5) + 2 * 2 + 1 + 3 + 3


@pytest.mark.parametrize(("share", "word"), [(0.5, "MISSED"), (0.95, "met   ")])
def test_a_figure_beyond_its_bar_is_missed(shown, share, word):
    judged = lines(verdicts(_with_share(shown[1], share)))
    assert [line for line in judged if line.startswith(f"{word} 4 clients")]


@pytest.mark.parametrize(
    ("added", "outside", "word"),
    [
        ((1.5, 1.4, 1.6), 0.5, "MISSED"),  # over 1.1, whatever the clocks say
        ((0.9, 0.8, 1.0), 5.0, "met   "),
        ((0.9, -9.0, 9.0), 0.6, "MISSED"),  # lost in noise: the clocks decide
        ((9.0, -9.0, 19.0), 0.5, "met   "),
    ],
)
def test_clocks_decide_where_a_networks_calls_hide_what_is_added(shown, added, outside, word):
    trips = []
    for trip in shown[1].trips:
        near = trip.model == "near-identity"
        value = Estimate(1.0, 0.9, 1.1) if near else Estimate(*added)
        over = {name: replace(one, added=value) for name, one in trip.over.items()}
        clocks = dict.fromkeys(trip.over, 0.5 if near else outside)
        trips.append(replace(trip, over=over, outside_ms=clocks))
    judged = lines(verdicts(replace(shown[1], trips=trips)))
    of_it = [one for one in judged if one[7:].startswith("model, ") and "CURVE" not in one]
    assert {one[:6] for one in of_it} == {word}
    assert len(of_it) == 6


def _with_share(report: Report, value: float) -> Report:
    flow = report.throughput
    share = {name: one._replace(value=value) for name, one in flow.share.items()}
    return replace(report, throughput=replace(flow, share=share))
