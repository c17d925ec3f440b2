"""One CUDA graph per shape, where cuda-bindings can record it; else every run is queued."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import thin_tensorrt
from bundles import make_manifest
from scanside.runtime.engines.tensorrt import network as network_module
from scanside.runtime.engines.tensorrt.engine import TensorRtEngine
from scanside.runtime.errors import EngineError
from scanside.runtime.frame import FrameFacts
from scanside.runtime.manifest import Sizes
from thin_device import ORIN, ThinDevice

FACTS = FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0)
WORDS = np.arange(1600, dtype=np.uint16).reshape(1, 40, 40)


def open_it() -> TensorRtEngine:
    manifest = make_manifest(sizes=Sizes(maximum=200, tile=64), multiple_of=8, receptive_field=1)
    return TensorRtEngine(manifest, thin_tensorrt.make_plan(0.0), ORIN)


class ThinGraphs(SimpleNamespace):
    """Where cuda.bindings.driver would be: what is queued between the calls is not recorded but
    done, and a launch does it again. `fail` names a call that answers 999, `missing` one that the
    driver is too old for. `everywhere` records the calls among those of pycuda."""

    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1)

    def __init__(self, everywhere: list[str]) -> None:
        super().__init__(calls=[], everywhere=everywhere, fail="", missing="", CUstream=int)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            if name == self.missing:
                raise RuntimeError(f'Function "{name}" not found')  # as cuda-bindings
            self.calls.append(name)
            self.everywhere.append(name)
            status = 999 if name == self.fail else 0
            return (
                (status, 7) if name in ("cuStreamEndCapture", "cuGraphInstantiate") else (status,)
            )

        return call


@pytest.fixture
def graphs(device: ThinDevice, monkeypatch: pytest.MonkeyPatch) -> ThinGraphs:
    thin = ThinGraphs(device.cuda.calls)
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", thin)  # type: ignore[arg-type]
    return thin


def test_one_graph_per_shape_is_recorded_after_a_plain_run(
    device: ThinDevice, graphs: ThinGraphs
) -> None:
    engine = open_it()
    engine.run(WORDS, [FACTS])
    engine.run(WORDS, [FACTS])
    record = ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"]
    assert graphs.calls == [*record, "cuGraphLaunch", "cuGraphLaunch"]
    assert len(thin_tensorrt.runs) == 2, "plainly, and to be recorded"
    gpu: Any = engine._gpu
    assert gpu.network.graphs == 1
    engine.close()
    assert graphs.calls[-2:] == ["cuGraphExecDestroy", "cuGraphDestroy"]


@pytest.mark.parametrize("how", ["fail", "missing"])
@pytest.mark.parametrize(
    "call", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"]
)
def test_where_no_graph_can_be_had_every_run_is_queued(
    device: ThinDevice, graphs: ThinGraphs, call: str, how: str
) -> None:
    setattr(graphs, how, call)
    engine = open_it()
    np.testing.assert_array_equal(engine.run(WORDS, [FACTS]), WORDS)
    gpu: Any = engine._gpu
    assert gpu.network.graphs == 0
    assert "cuGraphLaunch" not in graphs.calls
    if call == "cuGraphInstantiate":
        assert graphs.calls[-1] == "cuGraphDestroy"


def test_a_graph_that_does_not_start_is_an_engine_error(
    device: ThinDevice, graphs: ThinGraphs
) -> None:
    engine = open_it()
    graphs.fail = "cuGraphLaunch"
    with pytest.raises(EngineError, match="cuGraphLaunch with error 999"):
        engine.run(WORDS, [FACTS])


def test_the_stream_is_idle_before_a_recording_and_before_a_graph_is_given_up(
    device: ThinDevice, graphs: ThinGraphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_module, "SHAPES_KEPT", 1)
    engine = open_it()
    device.cuda.calls.clear()
    engine.warm_up(32, 32)
    record = ["synchronize", "cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"]
    assert device.cuda.calls == record
    device.cuda.calls.clear()
    engine.warm_up(40, 32)
    give_up = ["synchronize", "cuGraphExecDestroy", "cuGraphDestroy"]
    assert device.cuda.calls == [*give_up, *record]


def test_a_run_that_cannot_be_recorded_is_queued_and_its_recording_is_ended(
    device: ThinDevice, graphs: ThinGraphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(*arguments: Any) -> tuple[int]:
        thin_tensorrt.told["refuse"] = "execute_async_v3"
        return (0,)

    def end(*arguments: Any) -> tuple[int, int]:
        del thin_tensorrt.told["refuse"]
        graphs.calls.append("ended")
        return 0, 7

    monkeypatch.setattr(ThinGraphs, "cuStreamBeginCapture", begin, raising=False)
    monkeypatch.setattr(ThinGraphs, "cuStreamEndCapture", end, raising=False)
    np.testing.assert_array_equal(open_it().run(WORDS, [FACTS]), WORDS)
    assert graphs.calls == ["ended", "cuGraphDestroy"]
