"""The engine on thin doubles of tensorrt and pycuda, the kernels' real source underneath."""

from __future__ import annotations

import ctypes
from pathlib import Path
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
from scanside.runtime.frame import FrameFacts
from scanside.runtime.golden import check_engine
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import Manifest, Sizes
from scanside.runtime.tiling import pad
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


@pytest.mark.parametrize("scale", [1, 2])
def test_far_inside_padding_it_is_filled_as_on_the_cpu(device: ThinDevice, scale: int) -> None:
    manifest = manifest_of(scale)
    words = np.full((1, 40, 60), -2000, np.int16)
    words[0, 12:30, 20:50] = np.random.default_rng(4).integers(900, 1300, (18, 30))
    facts = FrameFacts(
        modality="CT", bits_stored=16, signed=True, intercept=-1024.0, padding=(-2000, -2000)
    )
    expected = on_cpu(manifest).run(words, [facts])
    engine = open_it(manifest)
    np.testing.assert_array_equal(engine.run(words, [facts]), expected)
    gpu: Any = engine._gpu
    seen = (ctypes.c_float * (40 * 64)).from_address(gpu.network.image.pointer)
    unit = FrameMap(words[0], facts, manifest.intensity).unit(scale)
    np.testing.assert_array_equal(np.reshape(seen, (40, 64)), pad(unit, manifest.multiple_of))


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
    assert "mem_alloc 80000" in taken, "the words once more, where the GPU caches them"
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
