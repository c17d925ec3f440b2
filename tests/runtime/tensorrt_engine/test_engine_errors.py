"""What goes wrong under the engine: every refusal and every failure is an EngineError, nothing
stays in flight, and what can go on does. On thin doubles, as test_engine.py."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from bundles import make_manifest
from scanside.runtime.engines.tensorrt.engine import TensorRtEngine
from scanside.runtime.errors import EngineError, EngineUnavailableError, NonFiniteError
from scanside.runtime.frame import FrameFacts
from scanside.runtime.manifest import Sizes
from thin_device import ORIN, ThinDevice
from thin_tensorrt import make_plan

FACTS = FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0)
MANIFEST = make_manifest(sizes=Sizes(maximum=200, tile=64), multiple_of=8, receptive_field=1)
WORDS = np.arange(1600, dtype=np.uint16).reshape(1, 40, 40)


def open_it(residual: float | str = "blur", scale: int = 1, side: int = 64) -> TensorRtEngine:
    """scale: of the plan; the manifest's is 1."""
    return TensorRtEngine(MANIFEST, make_plan(residual, scale, side), ORIN)


def test_a_value_that_is_not_finite_is_an_error_and_the_next_frame_is_fine(
    device: ThinDevice,
) -> None:
    engine = open_it("nan")
    with pytest.raises(NonFiniteError):
        engine.run(WORDS, [FACTS])
    gpu: Any = engine._gpu
    for shape in gpu.network._shapes.values():
        shape._context.plan["residual"] = 0.0
    np.testing.assert_array_equal(engine.run(WORDS, [FACTS]), WORDS)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"refuse": "deserialize_cuda_engine"}, "no engine from the plan: the magic .31m tag"),
        ({"half": True}, "float32"),
    ],
)
def test_a_plan_that_tensorrt_refuses_is_told_with_its_words(
    device: ThinDevice, told: dict[str, Any], message: str
) -> None:
    device.behaves(**told)
    with pytest.raises(EngineUnavailableError, match=message) as caught:
        open_it()
    assert "scanside plan FILE" in caught.value.next_step
    assert device.cuda.pushed == 0


def test_a_plan_for_smaller_tiles_is_refused(device: ThinDevice) -> None:
    with pytest.raises(EngineUnavailableError, match="tiles have 64 a side"):
        open_it(side=56)


def test_a_plan_that_gives_another_shape_is_an_engine_error(device: ThinDevice) -> None:
    engine = open_it(0.0, scale=2)
    with pytest.raises(EngineError, match="the network gives"):
        engine.warm_up(40, 40)


@pytest.mark.parametrize(
    "call",
    ["create_execution_context", "set_input_shape", "set_tensor_address", "execute_async_v3"],
)
def test_every_refusal_of_tensorrt_is_an_engine_error(device: ThinDevice, call: str) -> None:
    engine = open_it()
    device.behaves(refuse=call)
    with pytest.raises(EngineError, match="TensorRT"):
        engine.run(WORDS, [FACTS])
    assert device.cuda.pushed == 0


@pytest.mark.parametrize("call", ["unit16", "apply16", "synchronize"])
def test_an_error_of_the_gpu_is_an_engine_error_and_nothing_stays_in_flight(
    device: ThinDevice, call: str
) -> None:
    engine = open_it()
    engine.run(WORDS, [FACTS])
    device.cuda.fail = call
    device.cuda.calls.clear()
    with pytest.raises(EngineError, match="tensorrt failed on a frame"):
        engine.run(WORDS, [FACTS])
    assert device.cuda.calls[-1] == "synchronize"
    assert device.cuda.pushed == 0


@pytest.mark.parametrize("call", ["pagelocked .*", "mem_alloc .*"])
def test_memory_that_cannot_be_had_says_how_much(device: ThinDevice, call: str) -> None:
    device.cuda.fail = call
    with pytest.raises(EngineUnavailableError, match=r"MB of .* cannot be had") as caught:
        open_it()
    assert "restart" in caught.value.next_step


def test_a_gpu_that_takes_no_calls_any_more_is_an_engine_error_and_closes(
    device: ThinDevice,
) -> None:
    engine = open_it()
    device.cuda.fail = "push"
    with pytest.raises(EngineError, match="restart the daemon"):
        engine.run(WORDS, [FACTS])
    with pytest.raises(EngineError, match="restart the daemon"):
        engine.warm_up(40, 40)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.warm_up(40, 40)
    assert device.cuda.pushed == 0


@pytest.mark.parametrize("call", ["synchronize", "detach"])
def test_closing_raises_nothing(device: ThinDevice, call: str) -> None:
    engine = open_it()
    device.cuda.fail = call
    engine.close()
    assert device.cuda.calls[-1] == "detach"


def test_without_pycuda_or_a_context_it_says_so(
    device: ThinDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.cuda.fail = "retain"
    with pytest.raises(EngineUnavailableError, match="no context"):
        open_it()
    device.cuda.fail = "init"
    with pytest.raises(EngineUnavailableError, match="does not start"):
        open_it()
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(EngineUnavailableError, match="pycuda cannot be loaded"):
        open_it()


def test_a_closed_engine_says_so_and_has_let_go(device: ThinDevice) -> None:
    engine = open_it()
    engine.close()
    engine.close()
    assert device.cuda.calls[-1] == "detach"
    with pytest.raises(EngineError, match="closed"):
        engine.run(np.zeros((1, 8, 8), np.uint16), [FACTS])
    with pytest.raises(EngineError, match="closed"):
        engine.warm_up(8, 8)
