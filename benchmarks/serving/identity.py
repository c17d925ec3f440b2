"""A bundle whose network is next to nothing, so that a round trip is all map, guard and wire.

Its network is one 1 x 1 convolution, r = STRENGTH * (1/2 - x): the smallest one that changes
pixels. Everything else is as `scanside compile` writes it: golden frames in every guise, guard
bounds and golden statistics, so that the daemon does all that it does for a real model.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from scanside.compile.golden import golden_frames, golden_inputs
from scanside.compile.pack import write_bundle
from scanside.runtime.bundle import CPU_MODEL, GOLDEN, MODEL, REPORT, Bundle
from scanside.runtime.engines import EngineSpec
from scanside.runtime.engines.cpu import CpuEngine
from scanside.runtime.golden import encode_golden
from scanside.runtime.guard import change_of
from scanside.runtime.manifest import (
    GoldenNoise,
    Guard,
    Manifest,
    Provenance,
    Sizes,
    Tolerance,
    Window,
)
from scanside.runtime.tiling import Float

STRENGTH = 1 / 64
"""A power of two: the convolution is exact whatever order a library adds in."""
WINDOW = Window(lower=-1000.0, upper=1000.0, margin=320.0)
"""The CT recipes'."""
OPSET, IR_VERSION = 20, 10


def write_identity(path: Path) -> Bundle:
    """Write the bundle to `path`. Its golden results are computed in NumPy, without a library, and
    its guard allows twice of what the network can do at most."""
    manifest = Manifest(
        name="near-identity",
        version="1.0.0",
        task="benchmark",
        modality=("CT",),
        receptive_field=0,
        sizes=Sizes(tile=1024),
        intensity=WINDOW,
        tolerance=Tolerance(largest=1.0, p999=1.0, psnr_floor=80.0, data_range=4095.0),
        guard=Guard(largest_change=STRENGTH, largest_rms=STRENGTH),
        provenance=Provenance(recipe="none", seed=0, data_digest="", code_version="benchmark"),
        members={},
    )
    spec = EngineSpec(name="numpy", version=np.__version__, device="", threads=1, scale=1)
    reference = CpuEngine(manifest, network, spec)
    frames = golden_frames(reference, golden_inputs("CT", manifest.sizes, seed=0))
    first = frames[0]
    change = change_of(first.words, first.result, first.facts, WINDOW)
    noise = GoldenNoise(mean=change.mean, standard_deviation=change.deviation)
    model = onnx_model()
    members = {
        MODEL: model,
        CPU_MODEL: model,
        GOLDEN: encode_golden(frames),
        REPORT: b'{"note": "a benchmark\'s bundle: no pictures were judged"}',
    }
    return write_bundle(path, msgspec.structs.replace(manifest, golden_noise=noise), members)


def network(image: Float) -> Float:
    """The network in NumPy: (N, 1, H, W) in [0, 1] -> the residual, of the same shape."""
    return np.asarray(np.float32(STRENGTH / 2) - np.float32(STRENGTH) * image, dtype=np.float32)


def onnx_model() -> bytes:
    """The network as an ONNX file: `image` (N, 1, H, W) -> `residual`, float32."""
    kernel = np.full((1, 1, 1, 1), -STRENGTH, dtype=np.float32)
    bias = np.full(1, STRENGTH / 2, dtype=np.float32)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "kernel", "bias"], ["residual"])],
        "near-identity",
        [value("image", TensorProto.FLOAT, ["N", 1, "H", "W"])],
        [value("residual", TensorProto.FLOAT, ["N", 1, "H", "W"])],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(bias, "bias")],
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    serialised: bytes = model.SerializeToString()
    return serialised
