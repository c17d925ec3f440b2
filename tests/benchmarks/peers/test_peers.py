"""`bench peers`: one short run of the whole, and each part that cannot run."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("onnx", reason="needs the extra [workstation]")

from scanside.benchmarks.cli import bench
from scanside.benchmarks.evidence.record import Record, read_records
from scanside.benchmarks.peers import engines, suite, whole
from scanside.benchmarks.peers.classical import measure_filters
from scanside.benchmarks.peers.engines import COMPILED, measure_engines
from scanside.benchmarks.peers.rows import EAGER
from scanside.benchmarks.peers.services import FASTAPI_TCP, OURS, Service, Way, find_pytriton
from scanside.benchmarks.peers.suite import Effort
from scanside.benchmarks.peers.turns import turns
from scanside.benchmarks.peers.verdicts import engine_verdicts, filter_verdicts
from scanside.benchmarks.serving.identity import write_identity
from scanside.runtime.bundle import Bundle
from scanside.runtime.errors import BenchmarkError
from scanside.train.run import Run

TINY = Effort(sides=(64,), rounds=4, flow_rounds=1, flow_s=0.2, starts=1)
HTTP_RAW = "scanside.benchmarks.peers.clients.http_raw"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Record, suite.Report]:
    """What the verb printed of a run as short as it can be, its record and its report."""
    history = tmp_path_factory.mktemp("peers") / "history.jsonl"
    reports: list[suite.Report] = []
    measured = suite.measure_serving_peers

    def kept(*words, **named):
        reports.append(measured(*words, **named))
        return reports[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite, "SHORT", TINY)
        patch.setattr(suite, "measure_serving_peers", kept)
        patch.setattr(suite, "CLIENTS", 2)
        patch.setattr(whole, "pin", lambda count: (0, 1))  # pytest's own process is not pinned
        command = ["peers", "--short", "--history", str(history)]
        result = CliRunner().invoke(bench, command, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    (record,) = read_records(history)
    return result.output, record, reports[0]


def test_every_server_that_is_here_takes_part(shown):
    output, record, report = shown
    (race,) = report.races
    peers = {one.peer for one in race.contenders}
    assert OURS in peers
    for package, peer in (("fastapi", "FastAPI, raw bytes"), ("litserve", "LitServe")):
        there = peer in peers
        assert there or f"{package} is left out" in output
    python, reason = find_pytriton(None)
    assert ("PyTriton" in peers) == (python is not None)
    assert python is not None or reason in " ".join(record.notes)
    for one in race.contenders:
        assert one.name.split(",")[0] in output
        assert one.trips.times.shape == (4, 5)
        assert np.isfinite(one.over.added.value)
        assert (one.flow.per_second > 0).all()
        assert (one.flow.server_ms >= 0).all()
        assert np.isfinite(one.trips.inside).all() == (one.peer == OURS)


def test_footprints_are_of_whole_servers(shown):
    _, _, report = shown
    feet = {one.peer: one for one in report.footprints}
    assert feet.keys() == {one.peer for one in report.races[0].contenders}
    ours = feet[OURS]
    assert ours.server_lines == 0  # it is a command
    assert ours.added_mb == 0
    assert 0.1 < ours.start < 60
    assert ours.processes == 1
    for peer, foot in feet.items():
        assert foot.rss_mb >= foot.pss_mb > 20
        assert foot.total_mb > 100
        assert peer == OURS or (foot.server_lines > 10 and foot.added_mb > 5)
    if "LitServe" in feet:
        assert feet["LitServe"].processes > 1


def test_the_verb_prints_verdicts_and_what_our_daemon_does_more(shown):
    output, record, report = shown
    assert "holds the result against the bundle's bounds" in output
    assert record.notes[0] == whole.MORE
    assert report.races[0].of(FASTAPI_TCP) is None or f"over that of {FASTAPI_TCP}" in output
    assert output.count("outside engine and guard") == 3
    assert record.bench == "peers"
    assert record.setting["effort"] == "short"
    assert record.setting["scanside"]
    assert "uint16" in record.data


def test_a_server_that_does_not_come_up_is_left_out_but_not_ours(tmp_path):
    bundle = tmp_path / "near-identity.scanside"
    write_identity(bundle)

    def broken(peer: str) -> list[Service]:
        words = "import sys; sys.exit('broken on purpose')"
        command = [sys.executable, "-c", words]
        ways = (Way(peer, HTTP_RAW),)
        address = "127.0.0.1:9"
        return [Service(peer, sys.executable, lambda *_: command, lambda _: address, ways)]

    notes: list[str] = []
    with suite._running(broken("Peer"), bundle, tmp_path, 1, notes) as running:
        assert running == []
    assert len(notes) == 1
    assert "Peer is left out" in notes[0]
    assert "broken on purpose" in notes[0]
    with (
        pytest.raises(BenchmarkError, match="broken on purpose"),
        suite._running(broken(OURS), bundle, tmp_path, 1, []),
    ):
        pass


@pytest.mark.parametrize("words", [("--part", "engines"), ("--run", "runs/x", "--part", "quality")])
def test_parts_without_their_input_are_refused(words):
    result = CliRunner().invoke(bench, ["peers", *words])
    assert result.exit_code == 2
    assert "need" in result.output


# Engines and filters


def test_every_engine_is_measured_and_a_compiler_that_fails_is_noted(
    tiny_run, tiny_bundle, monkeypatch
):
    def fail(model, image):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(engines, "_compiled", fail)
    rows, notes = measure_engines(
        Run(tiny_run), Bundle.open(tiny_bundle), side=64, threads=1, rounds=3
    )
    names = [row.name for row in rows]
    assert names[0] == EAGER
    assert [note for note in notes if "no C++ compiler" in note] == notes
    assert len(notes) == 2
    assert not any(name.startswith("torch.compile") for name in names)
    for name in ("ONNX Runtime", "OpenVINO"):
        assert {f"{name}, float, unpruned", f"{name}, float, pruned"} <= set(names)
        assert f"{name}, INT8, pruned" in names
    assert rows[0].faster == (1.0, 1.0, 1.0)
    assert all(len(row.rounds) == 3 for row in rows)
    (judged,) = engine_verdicts(rows)
    best = max((row for row in rows if row.int8), key=lambda row: row.faster.value)
    assert best.name in judged.what
    assert judged.passed == (best.faster.value >= 8)


def test_a_contender_that_gives_another_image_is_no_peer(tiny_run, tiny_bundle, monkeypatch):
    monkeypatch.setattr(engines, "_compiled", lambda model, image: (np.zeros_like, 1.0))
    rows, notes = measure_engines(
        Run(tiny_run), Bundle.open(tiny_bundle), side=64, threads=1, rounds=3, compile_pruned=False
    )
    assert COMPILED.format("unpruned") not in [row.name for row in rows]
    assert "another network's" in notes[0]
    assert len(notes) == 1


def test_filters_have_their_best_strength_and_their_time(tiny_run, tiny_bundle, clean_ct):
    found = measure_filters(
        Run(tiny_run), Bundle.open(tiny_bundle), most=0, threads=1, folders=[clean_ct]
    )
    names = {row.name for row in found.rows}
    assert {"non-local means", "wavelets (VisuShrink)"} <= names
    classical = [row for row in found.rows if not row.int8]
    assert all(row.gain > 0 and row.ms.value > 0 for row in classical)
    assert found.best.psnr == max(row.psnr for row in classical)
    ours = [row for row in found.rows if row.int8]
    assert found.fastest.ms.value == min(row.ms.value for row in ours)
    assert found.fastest.slower == (1.0, 1.0, 1.0)
    assert found.data_range == "4095 HU"
    (judged,) = filter_verdicts(found)
    assert judged.passed == (found.best.slower.value >= 20)
    assert f"{found.best.psnr:.2f} dB" in judged.measured


def test_calls_take_turns_and_are_timed_by_name():
    made: list[str] = []
    times = turns({name: lambda name=name: made.append(name) for name in "abc"}, 6, "Test")
    assert all(mine.shape == (6, 1) for mine in times.values())
    rounds = [made[start : start + 3] for start in range(0, len(made), 3)]
    assert len(rounds) == 7  # with the warm-up
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1
