"""The engine on thin doubles of tensorrt and pycuda, the kernels' real source underneath."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import thin_tensorrt
from bundles import _residual, make_manifest, write_test_bundle
from one_frame import Float
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines import Engine, EngineSpec
from scanside.runtime.engines.cpu import CpuEngine
from scanside.runtime.engines.tensorrt import network as network_module
from scanside.runtime.engines.tensorrt.engine import TensorRtEngine
from scanside.runtime.errors import EngineError, EngineUnavailableError, NonFiniteError
from scanside.runtime.frame import FrameFacts
from scanside.runtime.golden import check_engine
from scanside.runtime.manifest import Manifest, Sizes
from thin_device import ORIN, ThinDevice
from thin_tensorrt import make_plan

FACTS = FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0)
SIZES = Sizes(maximum=200, tile=64)


def manifest_of(scale: int = 1, sizes: Sizes = SIZES, **changes: Any) -> Manifest:
    return make_manifest(
        scale=scale, sizes=sizes, **{"multiple_of": 8, "receptive_field": 1, **changes}
    )


def open_it(manifest: Manifest, residual: float | str = "blur", side: int = 64) -> TensorRtEngine:
    return TensorRtEngine(manifest, make_plan(residual, manifest.scale, side), ORIN)


def on_cpu(manifest: Manifest, residual: float | str = "blur") -> Engine:
    """The reference: NumPy's map and tiles around the very network of the double."""

    def network(image: Float) -> Float:
        one = _residual(image[0, 0], residual)
        return one.repeat(manifest.scale, 0).repeat(manifest.scale, 1)[np.newaxis, np.newaxis]

    spec = EngineSpec(name="cpu", version="0", device="", threads=1, scale=manifest.scale)
    return CpuEngine(manifest, network, spec)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_frames_come_out_as_the_cpus_engine_makes_them(
    device: ThinDevice, scale: int, dtype: str
) -> None:
    manifest = manifest_of(scale)
    engine, reference = open_it(manifest), on_cpu(manifest)
    rng = np.random.default_rng(1)
    bits = 8 if dtype.endswith("8") else 12
    signed = dtype.startswith("i")
    low = -(1 << (bits - 1)) if signed else 0
    for shape in ((1, 1), (33, 64), (71, 130), (200, 57)):
        words = rng.integers(low, low + (1 << bits), (2, *shape)).astype(dtype)
        facts = [
            FrameFacts(
                modality="CT",
                bits_stored=bits,
                signed=signed,
                photometric=photometric,
                padding=(low, low + 9),
            )
            for photometric in ("MONOCHROME1", "MONOCHROME2")
        ]
        frozen = words.copy()
        words.flags.writeable = False
        out = engine.run(words, facts)
        np.testing.assert_array_equal(out, reference.run(words, facts))
        np.testing.assert_array_equal(words, frozen)
    assert set(thin_tensorrt.runs) == {(40, 64), (64, 64)}
    assert device.cuda.pushed == 0


def test_a_bundles_golden_frames_pass(device: ThinDevice, tmp_path: Path) -> None:
    for scale in (1, 2):
        path = write_test_bundle(
            tmp_path / f"{scale}.scanside",
            residual="blur",
            scale=scale,
            receptive_field=1,
            sizes=Sizes(maximum=256),
        )
        bundle = Bundle.open(path)
        report = check_engine(open_it(bundle.manifest, side=256), bundle)
        assert report.worst.largest == 0


def test_a_result_is_not_the_memory_of_the_next_frame(device: ThinDevice) -> None:
    engine = open_it(manifest_of(), 0.25)
    words = np.random.default_rng(2).integers(900, 1300, (1, 40, 40)).astype(np.uint16)
    first = engine.run(words, [FACTS])
    kept = first.copy()
    engine.run(words[:, ::-1].copy(), [FACTS])
    np.testing.assert_array_equal(first, kept)


def test_it_says_what_it_is(device: ThinDevice) -> None:
    assert open_it(manifest_of(2)).spec == EngineSpec(
        name="tensorrt", version="10.3.0", device="Orin", threads=1, scale=2
    )


def test_all_memory_is_taken_at_start(device: ThinDevice) -> None:
    engine = open_it(manifest_of(2))
    taken = [call for call in device.cuda.calls if call.startswith(("pagelocked", "mem_alloc"))]
    assert "pagelocked 80000" in taken, "the largest frame's words"
    assert "pagelocked 320000" in taken, "and the doubled ones"
    device.cuda.calls.clear()
    for side in (5, 100, 200):
        engine.run(np.arange(side * side, dtype=np.uint16).reshape(1, side, side), [FACTS])
    assert not [one for one in device.cuda.calls if one.startswith(("pagelocked", "mem_alloc"))]


def test_the_stream_is_waited_for_once_per_frame(device: ThinDevice) -> None:
    engine = open_it(manifest_of())
    words = np.arange(100 * 150, dtype=np.uint16).reshape(1, 100, 150) % 4096
    engine.run(words, [FACTS])
    device.cuda.calls.clear()
    engine.run(words, [FACTS])
    assert device.cuda.calls == ["unit16", "apply16"] * 6 + ["synchronize"]


def test_warming_up_makes_the_shape_that_frames_will_have(device: ThinDevice) -> None:
    engine = open_it(manifest_of())
    engine.warm_up(71, 130)
    thin_tensorrt.runs.clear()
    engine.run(np.arange(71 * 130, dtype=np.uint16).reshape(1, 71, 130), [FACTS])
    tiles = {(64, 64)}
    assert set(thin_tensorrt.runs) == tiles
    assert len(thin_tensorrt.runs) == 6, "no plain run was left for the first frame"


def test_shapes_are_kept_up_to_a_number(
    device: ThinDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_module, "SHAPES_KEPT", 2)
    engine = open_it(manifest_of())
    for rows in (32, 40, 32, 48, 32, 40):
        engine.warm_up(rows, 32)
    assert thin_tensorrt.runs == [(32, 32), (40, 32), (48, 32), (40, 32)]


def test_a_constant_frame_never_reaches_the_gpu(device: ThinDevice) -> None:
    engine = open_it(manifest_of())
    device.cuda.calls.clear()
    words = np.full((1, 8, 8), 700, np.uint16)
    np.testing.assert_array_equal(engine.run(words, [FACTS]), words)
    assert device.cuda.calls == []


def test_a_value_that_is_not_finite_is_an_error_and_the_next_frame_is_fine(
    device: ThinDevice,
) -> None:
    engine = open_it(manifest_of(), "nan")
    words = np.arange(1600, dtype=np.uint16).reshape(1, 40, 40)
    with pytest.raises(NonFiniteError):
        engine.run(words, [FACTS])
    gpu: Any = engine._gpu
    for shape in gpu.network._shapes.values():
        shape._context.plan["residual"] = 0.0
    np.testing.assert_array_equal(engine.run(words, [FACTS]), words)


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
        open_it(manifest_of())
    assert "scanside plan FILE" in caught.value.next_step
    assert device.cuda.pushed == 0


def test_a_plan_for_smaller_tiles_is_refused(device: ThinDevice) -> None:
    with pytest.raises(EngineUnavailableError, match="tiles have 64 a side"):
        open_it(manifest_of(), side=56)


@pytest.mark.parametrize(
    "call",
    ["create_execution_context", "set_input_shape", "set_tensor_address", "execute_async_v3"],
)
def test_every_refusal_of_tensorrt_is_an_engine_error(device: ThinDevice, call: str) -> None:
    engine = open_it(manifest_of())
    device.behaves(refuse=call)
    words = np.arange(1600, dtype=np.uint16).reshape(1, 40, 40)
    with pytest.raises(EngineError, match="TensorRT"):
        engine.run(words, [FACTS])
    assert device.cuda.pushed == 0


@pytest.mark.parametrize("call", ["unit16", "apply16", "synchronize"])
def test_an_error_of_the_gpu_is_an_engine_error_and_nothing_stays_in_flight(
    device: ThinDevice, call: str
) -> None:
    engine = open_it(manifest_of())
    words = np.arange(1600, dtype=np.uint16).reshape(1, 40, 40)
    engine.run(words, [FACTS])
    device.cuda.fail = call
    device.cuda.calls.clear()
    with pytest.raises(EngineError, match="tensorrt failed on a frame"):
        engine.run(words, [FACTS])
    assert device.cuda.calls[-1] == "synchronize"
    assert device.cuda.pushed == 0


@pytest.mark.parametrize("call", ["pagelocked .*", "mem_alloc .*"])
def test_memory_that_cannot_be_had_says_how_much(device: ThinDevice, call: str) -> None:
    device.cuda.fail = call
    with pytest.raises(EngineUnavailableError, match=r"MB of .* cannot be had") as caught:
        open_it(manifest_of())
    assert "restart" in caught.value.next_step


def test_without_pycuda_or_a_context_it_says_so(
    device: ThinDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.cuda.fail = "retain"
    with pytest.raises(EngineUnavailableError, match="no context"):
        open_it(manifest_of())
    device.cuda.fail = "init"
    with pytest.raises(EngineUnavailableError, match="does not start"):
        open_it(manifest_of())
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(EngineUnavailableError, match="pycuda cannot be loaded"):
        open_it(manifest_of())


def test_a_closed_engine_says_so_and_has_let_go(device: ThinDevice) -> None:
    engine = open_it(manifest_of())
    engine.close()
    engine.close()
    assert device.cuda.calls[-1] == "detach"
    with pytest.raises(EngineError, match="closed"):
        engine.run(np.zeros((1, 8, 8), np.uint16), [FACTS])
    with pytest.raises(EngineError, match="closed"):
        engine.warm_up(8, 8)


class ThinGraphs(SimpleNamespace):
    """Where cuda.bindings.driver would be: what is queued between the calls is not recorded but
    done, and a launch does it again. `fail` names a call that answers 999."""

    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1)

    def __init__(self, fail: str = "") -> None:
        super().__init__(calls=[], fail=fail, CUstream=int)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append(name)
            status = 999 if name == self.fail else 0
            return (
                (status, 7) if name in ("cuStreamEndCapture", "cuGraphInstantiate") else (status,)
            )

        return call


@pytest.fixture
def graphs(device: ThinDevice, monkeypatch: pytest.MonkeyPatch) -> ThinGraphs:
    thin = ThinGraphs()
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", thin)  # type: ignore[arg-type]
    return thin


def test_one_graph_per_shape_is_recorded_after_a_plain_run(
    device: ThinDevice, graphs: ThinGraphs
) -> None:
    engine = open_it(manifest_of(), 0.0)
    words = np.arange(1600, dtype=np.uint16).reshape(1, 40, 40)
    engine.run(words, [FACTS])
    engine.run(words, [FACTS])
    record = ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"]
    assert graphs.calls == [*record, "cuGraphLaunch", "cuGraphLaunch"]
    assert len(thin_tensorrt.runs) == 2, "plainly, and to be recorded"
    gpu: Any = engine._gpu
    assert gpu.network.graphs == 1
    engine.close()
    assert graphs.calls[-2:] == ["cuGraphExecDestroy", "cuGraphDestroy"]


@pytest.mark.parametrize(
    "call", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"]
)
def test_where_no_graph_can_be_had_every_run_is_queued(
    device: ThinDevice, graphs: ThinGraphs, call: str
) -> None:
    graphs.fail = call
    engine = open_it(manifest_of(), 0.0)
    words = np.arange(1600, dtype=np.uint16).reshape(1, 40, 40)
    np.testing.assert_array_equal(engine.run(words, [FACTS]), words)
    gpu: Any = engine._gpu
    assert gpu.network.graphs == 0
    assert "cuGraphLaunch" not in graphs.calls
    if call == "cuGraphInstantiate":
        assert graphs.calls[-1] == "cuGraphDestroy"


def test_a_graph_that_does_not_start_is_an_engine_error(
    device: ThinDevice, graphs: ThinGraphs
) -> None:
    engine = open_it(manifest_of(), 0.0)
    graphs.fail = "cuGraphLaunch"
    with pytest.raises(EngineError, match="cuGraphLaunch with error 999"):
        engine.run(np.arange(1600, dtype=np.uint16).reshape(1, 40, 40), [FACTS])
