"""A small bundle with all that INT8 is made of: Q/DQ convolutions, a skip, pooling, resizing.

Its golden frames are ONNX Runtime's on this processor, so that another one is held against it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper

from bundles import make_manifest
from quantised import CHANNELS, Network
from scanside.compile.golden import golden_frames, golden_inputs
from scanside.compile.pack import write_bundle
from scanside.compile.twin import cpu_twin
from scanside.runtime.bundle import CPU_MODEL, GOLDEN, MODEL, REPORT
from scanside.runtime.engines import EngineSpec
from scanside.runtime.engines.cpu import CpuEngine
from scanside.runtime.engines.onnxruntime import load_network
from scanside.runtime.golden import encode_golden
from scanside.runtime.manifest import Sizes

RECEPTIVE_FIELD = 16
MULTIPLE = 2


def make_network() -> bytes:
    """ONNX bytes: `image` (N, 1, H, W) -> `residual`, within -0.05..0.05."""
    net = Network()
    first = net.quantised(net.add("Relu", net.float_conv("image", 1, CHANNELS)))
    pooled = net.quantised(net.add("MaxPool", first, kernel_shape=[2, 2], strides=[2, 2]))
    deep = net.quantised(net.add("Relu", net.int8_conv(pooled)))
    added = net.quantised(net.add("Add", deep, net.quantised(net.int8_conv(deep))))
    net.constant("factors", np.array([1, 1, 2, 2], np.float32))
    up = net.add(
        *("Resize", added, "", "factors"),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    joined = net.quantised(net.add("Concat", net.quantised(up), first, axis=1))
    last = net.quantised(net.add("Relu", net.int8_conv(joined, 2 * CHANNELS)))
    bounded = net.add("Tanh", net.float_conv(last, CHANNELS, 1))
    net.constant("small", np.array(0.05, np.float32))
    net.nodes.append(helper.make_node("Mul", [bounded, "small"], ["residual"], name="residual"))
    return net.model("residual")


def write_small_bundle(path: Path) -> Path:
    manifest = make_manifest(
        receptive_field=RECEPTIVE_FIELD, multiple_of=MULTIPLE, sizes=Sizes(tile=128)
    )
    model = make_network()
    twin = cpu_twin(model)
    spec = EngineSpec(name="onnxruntime", version="", device="", threads=1, scale=1)
    reference = CpuEngine(manifest, load_network(twin, 1), spec)
    frames = golden_frames(reference, golden_inputs("CT", manifest.sizes, 7))
    members = {
        MODEL: model,
        CPU_MODEL: twin,
        GOLDEN: encode_golden(frames),
        REPORT: b'{"note":"a test bundle: nothing was measured"}',
    }
    write_bundle(path, manifest, members)
    return path
