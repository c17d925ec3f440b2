"""The guard that needs no clock: Python calls of the daemon for one frame."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("onnx", reason="needs the extra [workstation]")
pytest.importorskip("onnxruntime")

from scanside.benchmarks.cli import bench
from scanside.benchmarks.evidence.record import read_records
from scanside.benchmarks.latency.calls import FrameCalls, count_calls
from scanside.runtime.daemon import inference, reception

MOST = {"shm": 232, "ipc": 230, "tcp": 230}
"""Found with Python 3.11, numpy 2.4 and pyzmq 27; no slack: the median of 31 frames was the same in
every run, however busy the machine was. What needs more had better be worth it in each frame; who
needs less, writes that here."""


@pytest.fixture(scope="module")
def counted(near_identity: Path) -> dict[str, FrameCalls]:
    return {one.transport: one for one in count_calls(near_identity, "onnxruntime")}


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="pinned for Python 3.11's own calls")
def test_the_daemon_makes_no_more_calls_for_a_frame_than_it_did(counted):
    found = {name: one.calls for name, one in counted.items()}
    assert found.keys() == MOST.keys()
    over = {name: (calls, MOST[name]) for name, calls in found.items() if calls > MOST[name]}
    assert not over, f"more Python calls for each frame than before: {over}"


def test_calls_are_told_by_package(counted):
    for one in counted.values():
        assert sum(one.parts.values()) == one.calls
        assert {"runtime.daemon", "runtime.wire", "numpy", "zmq", "python"} <= one.parts.keys()
        assert "benchmarks" not in " ".join(one.parts)  # the client's own are not among them


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    def more(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named)

    return more


@pytest.mark.parametrize(
    ("place", "name"),
    [(reception.Reception, "take"), (inference, "_guard")],
    ids=["socket thread", "inference thread"],
)
def test_one_more_call_for_a_frame_shows(
    counted, near_identity: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str
):
    monkeypatch.setattr(place, name, _called(getattr(place, name)))
    for one in count_calls(near_identity, "onnxruntime"):
        assert one.calls == counted[one.transport].calls + 1


def test_the_verb_prints_and_keeps_the_counts(counted, tmp_path: Path):
    history = tmp_path / "history.jsonl"
    result = CliRunner().invoke(bench, ["calls", "--history", str(history)])
    assert result.exit_code == 0, result.output
    (record,) = read_records(history)
    assert record.bench == "calls"
    found = {one.of["transport"]: one.value for one in record.figures}
    assert found == {name: one.calls for name, one in counted.items()}
    assert {one.unit for one in record.figures} == {"calls"}
    assert str(counted["tcp"].calls) in result.output
