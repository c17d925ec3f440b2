"""FP16 on a CPU: measured only where it is what the engine computes in.

ONNX Runtime widens FP16 to float32 on a CPU, and OpenVINO, asked for f16, computes in bf16 without
a word where the CPU has that and no FP16. A point that is called FP16 and is not would be a lie.
"""

from __future__ import annotations

from typing import Any

from scanside.runtime.engines.openvino import compiler, network_of
from scanside.runtime.errors import EngineUnavailableError
from scanside.runtime.tiling import Network

HALF = "f16"
TRIED = (1, 1, 64, 64)


def load_half(model: bytes, engine: str, threads: int, precision: str = HALF) -> Network:
    """A float ONNX file computed in FP16, or another of OpenVINO's precisions. Raises
    EngineUnavailableError, saying what it would be computed in instead."""
    if engine != "openvino":
        raise EngineUnavailableError(f"{engine} computes {precision} in f32 on a CPU")
    compiled = compiler(model, threads, precision)
    found = computed_in(compiled(TRIED))
    if found != {precision}:
        raise EngineUnavailableError(
            f"openvino computes {precision} in {' and '.join(sorted(found))} on this CPU"
        )
    return network_of(compiled)


def computed_in(compiled: Any) -> set[str]:
    """What a compiled OpenVINO model computes its convolutions in, as it says itself."""
    return {
        str(node.get_rt_info()["runtimePrecision"].astype(str)).lower()
        for node in compiled.get_runtime_model().get_ordered_ops()
        if "Convolution" in node.get_rt_info()["layerType"].astype(str)
    }
