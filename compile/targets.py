"""What a target can hold: its memory budget, and tiles small enough for it."""

from __future__ import annotations

import math

import msgspec
import onnx

from scanside.runtime.errors import TargetError
from scanside.runtime.manifest import MEBIBYTE, Manifest
from scanside.runtime.platforms import Target

SYSTEM_MB = 2048
"""For Linux, the desktop and the appliance's own program: CPU and GPU share the memory."""
SHARE = 0.5
"""Of what is left: TensorRT's workspace and the page-locked frames need some too."""
SMALLEST_TILE = 256


def fit_to_target(manifest: Manifest, model: bytes, target: Target) -> Manifest:
    """The manifest with the target's name, its memory budget, and tiles that fit into it.

    Raises TargetError where not even tiles of 256 pixels fit.
    """
    budget = memory_budget_mb(target)
    tile = manifest.sizes.tile
    while working_set_mb(model, tile) > budget:
        tile //= 2
        if tile < max(SMALLEST_TILE, 2 * manifest.receptive_field + manifest.multiple_of):
            raise TargetError(
                f"{target.name} gives the model {budget} MB, and tiles of {2 * tile} pixels need "
                f"{working_set_mb(model, 2 * tile)} MB",
                next_step="choose a module with more memory, a smaller network or a lower "
                "mac_budget",
            )
    sizes = msgspec.structs.replace(manifest.sizes, tile=tile)
    return msgspec.structs.replace(
        manifest, target=target.name, memory_budget_mb=budget, sizes=sizes
    )


def memory_budget_mb(target: Target) -> int:
    """MB that the model may take on a target: half of what the system leaves."""
    return int((target.module.memory_gb * 1024 - SYSTEM_MB) * SHARE)


def working_set_mb(model: bytes, side: int) -> int:
    """MB of activations that live at the same time at worst, and of weights, for one tile.

    Counted in float32 and without anything fused, so that it is more than INT8 and FP16 take.
    """
    graph = _with_shapes(model, side)
    sizes = {
        value.name: math.prod(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    weights: int = sum(math.prod(tensor.dims) for tensor in graph.initializer)
    last = {name: place for place, node in enumerate(graph.node) for name in node.input}
    last |= {value.name: len(graph.node) for value in graph.output}
    live = {value.name for value in graph.input}
    peak: int = 0
    for place, node in enumerate(graph.node):
        live |= set(node.output)
        peak = max(peak, sum(sizes.get(name, 0) for name in live))
        live = {name for name in live if last.get(name, -1) > place}
    return -(-4 * (peak + weights) // MEBIBYTE)


def _with_shapes(model: bytes, side: int) -> onnx.GraphProto:
    """The graph with every shape known, for one image of side x side."""
    proto = onnx.load_from_string(model)
    del proto.graph.value_info[:]
    for dim, length in zip(
        proto.graph.input[0].type.tensor_type.shape.dim, (1, 1, side, side), strict=True
    ):
        dim.dim_value = length
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True).graph
