"""Run in a process of its own: the engine on the genuine pycuda and, if named, cuda-bindings, over
an emulated driver; TensorRT is the double. Prints the calls that reached the driver."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import thin_tensorrt
from bundles import make_manifest
from scanside.runtime.engines.tensorrt.engine import TensorRtEngine
from scanside.runtime.errors import EngineUnavailableError
from scanside.runtime.frame import FrameFacts
from scanside.runtime.intensity import apply_residual
from scanside.runtime.manifest import Sizes
from thin_device import ORIN

FACTS = FrameFacts(modality="CT", bits_stored=12, signed=False, padding=(0, 9), intercept=-1024.0)


def check(scale: int, graphs: bool) -> None:
    manifest = make_manifest(sizes=Sizes(maximum=128, tile=64), multiple_of=8, scale=scale)
    engine = TensorRtEngine(manifest, thin_tensorrt.make_plan(0.125, scale, 64), ORIN)
    rng = np.random.default_rng(3)
    for dtype in (np.uint16, np.int16, np.uint16):
        words = rng.integers(0, 2400, (2, 100, 90)).astype(dtype)
        residual = np.full((100 * scale, 90 * scale), np.float32(0.125))
        out = engine.run(words, [FACTS, FACTS])
        for one, got in zip(words, out, strict=True):
            expected = apply_residual(one, residual, FACTS, manifest.intensity, scale)
            np.testing.assert_array_equal(got, expected)
    assert engine._gpu is not None
    assert engine._gpu.network.graphs == int(graphs)
    engine.close()


def main() -> None:
    graphs = sys.argv[1] == "graphs"
    if not graphs:
        sys.modules["cuda.bindings.driver"] = None  # type: ignore[assignment]
    driver = ctypes.CDLL("libcuda.so.1")
    kept: list[Any] = []

    def queue(work: Callable[[], None]) -> None:
        kept.append(ctypes.CFUNCTYPE(None)(work))
        driver.queue_work(kept[-1])

    thin_tensorrt.queue = queue
    module = thin_tensorrt.as_module()
    sys.modules["tensorrt"] = module
    for scale in (1, 2):
        check(scale, graphs)
    calls = Path(os.environ["EMULATED_TRACE"]).read_text().split()
    try:
        manifest = make_manifest(sizes=Sizes(maximum=128, tile=64), multiple_of=8)
        TensorRtEngine(manifest, thin_tensorrt.make_plan(0.0, 1, 56), ORIN)
    except EngineUnavailableError as error:
        sys.stdout.write(f"{error.message}\n")
    sys.stdout.write("\n".join(calls))


if __name__ == "__main__":
    main()
