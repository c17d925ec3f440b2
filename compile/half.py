"""model.trt.onnx: INT8 as it is, FP16 for the rest where its range and its steps allow it.

TensorRT 11 takes the precision from the types in the file and from nothing else; ModelOpt's
AutoCast writes them. In float32 stay what reads the image and what makes the residual (an FP16 step
is 1 HU in a window of 2,000 HU), with all that training kept in float, and every layer whose values
FP16 cannot hold.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import NodeProto

from scanside.compile.graph import CONV, DEQUANTISE, QUANTISE, Graph
from scanside.runtime.engines import onnxruntime
from scanside.runtime.errors import CompileError
from scanside.runtime.tiling import Float

LARGEST = float(np.finfo(np.float16).max)
SMALLEST = float(np.finfo(np.float16).smallest_normal)
ROOM = 4.0
"""Another image may reach further than those that were tried."""


class HalfLayer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer and what hangs on it, up to the next convolution.

    largest: magnitude of its values on the images that were tried. smallest_scale: of its Q/DQ,
    where it has any. half: whether it is FP16 in model.trt.onnx. problem: why FP16 cannot hold it,
    or empty.
    """

    name: str
    largest: float
    smallest_scale: float | None
    half: bool
    problem: str


def half_precision(
    model: bytes, floats: Collection[str], images: Sequence[Float]
) -> tuple[bytes, list[HalfLayer]]:
    """The file for TensorRT, and what was found of FP16's range, layer by layer.

    floats: layers that training kept in float32. images: (1, 1, H, W) unit images to run. Raises
    CompileError where AutoCast fails, or leaves FP16 where float32 was asked for.
    """
    graph = Graph(model)
    layers = _layers(graph)
    largest = _largest(graph, layers, images)
    scales = _scales(graph, layers)
    problems = {name: _problem(largest[name], scale) for name, scale in scales.items()}
    problems = {name: problem for name, problem in problems.items() if problem}
    kept = _after(graph, {*floats, *problems})
    names = [node.name for node in kept]
    cast = _autocast(model, names)
    _insist(cast, names)
    table = [
        HalfLayer(
            name=name,
            largest=largest[name],
            smallest_scale=scale,
            half=name not in floats and name not in problems,
            problem=problems.get(name, ""),
        )
        for name, scale in scales.items()
    ]
    return cast, table


def _problem(largest: float, scale: float | None) -> str:
    if not largest * ROOM < LARGEST:
        return f"values up to {largest:.3g}: FP16 ends at {LARGEST:g}"
    if scale is not None and scale < SMALLEST:
        return f"a scale of {scale:.3g}: FP16 rounds what is under {SMALLEST:.3g}"
    return ""


def _layers(graph: Graph) -> dict[str, str]:
    """Float tensor -> the layer that it hangs on: the convolution before it."""
    layers: dict[str, str] = {}
    for node in graph.graph.node:
        if node.op_type == CONV:
            layers[node.output[0]] = graph.layer(node)
        elif node.op_type != QUANTISE:
            before = [layers[name] for name in map(graph.before, node.input) if name in layers]
            if before:
                layers[node.output[0]] = before[-1]
    return layers


def _largest(graph: Graph, layers: dict[str, str], images: Sequence[Float]) -> dict[str, float]:
    """Largest magnitude of every layer's tensors on the images."""
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in layers)
    run = onnxruntime.load_outputs(proto.SerializeToString())
    found = dict.fromkeys(layers.values(), 0.0)
    for image in images:
        for name, values in zip(layers.values(), run(image), strict=True):
            found[name] = max(found[name], float(np.abs(values).max()))
    return found


def _scales(graph: Graph, layers: dict[str, str]) -> dict[str, float | None]:
    """Smallest scale of every layer's weights and of what hangs on it."""
    found: dict[str, list[float]] = {name: [] for name in layers.values()}
    for node in graph.graph.node:
        if node.op_type == CONV and (weights := graph.maker(node.input[1], DEQUANTISE)):
            found[graph.layer(node)].append(float(graph.array(weights.input[1]).min()))
        elif node.op_type == QUANTISE and node.input[0] in layers:
            found[layers[node.input[0]]].append(float(graph.array(node.input[1]).min()))
    return {name: min(scales, default=None) for name, scales in found.items()}


def _after(graph: Graph, floats: Collection[str]) -> list[NodeProto]:
    """The convolutions in `floats`, and what computes on their results before they are rounded."""
    kept: list[NodeProto] = []
    made: set[str] = set()
    for node in graph.graph.node:
        if node.op_type == CONV:
            wanted = graph.layer(node) in floats
        else:
            wanted = node.op_type not in (QUANTISE, DEQUANTISE) and bool(made & set(node.input))
        if wanted:
            kept.append(node)
            made |= set(node.output)
    return kept


def _autocast(model: bytes, kept: Sequence[str]) -> bytes:
    with _quietly(), tempfile.TemporaryDirectory() as folder:
        from modelopt.onnx.autocast import convert_to_mixed_precision

        path = Path(folder) / "model.onnx"
        path.write_bytes(model)
        try:
            proto = convert_to_mixed_precision(
                str(path),
                low_precision_type="fp16",
                keep_io_types=True,
                nodes_to_exclude=[f"^{re.escape(name)}$" for name in kept],
                data_max=np.inf,  # ranges are measured here, on real images, not on noise
            )
        except Exception as error:  # ModelOpt has no type of its own
            raise CompileError(
                f"ModelOpt's AutoCast failed: {type(error).__name__}",
                next_step="compare the versions of nvidia-modelopt and onnx with constraints.txt",
            ) from error
    del proto.metadata_props[:]
    onnx.checker.check_model(proto, full_check=True)
    cast: bytes = proto.SerializeToString(deterministic=True)
    return cast


def _insist(cast: bytes, kept: Sequence[str]) -> None:
    """AutoCast names what it adds after what it found: nothing says that it kept what was asked."""
    proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(cast))
    types = {one.name: one.type.tensor_type.elem_type for one in proto.graph.value_info}
    types |= {one.name: one.type.tensor_type.elem_type for one in proto.graph.output}
    types |= {one.name: one.type.tensor_type.elem_type for one in proto.graph.input}
    for node in proto.graph.node:
        names = (*node.output, *node.input[:1])
        if node.name in kept and any(types.get(name) != onnx.TensorProto.FLOAT for name in names):
            raise CompileError(f"AutoCast did not leave {node.name} in float32")
    for one in (*proto.graph.input, *proto.graph.output):
        if one.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            raise CompileError(f"AutoCast did not leave {one.name} in float32")


@contextmanager
def _quietly() -> Iterator[None]:
    """AutoCast tells every node that it looks at, through a logger that it sets up itself."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
