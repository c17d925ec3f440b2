"""What of an exported graph will run in INT8: said convolution by convolution, and checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec
import onnx
from torch import nn

from scanside.runtime.errors import CompileError
from scanside.train.models.network import Network

CONV, CONCAT = "Conv", "Concat"
QUANTISE, DEQUANTISE = "QuantizeLinear", "DequantizeLinear"
STRAY = ("Cast", "Identity")


class ConvLayer(msgspec.Struct, frozen=True, kw_only=True):
    """integer: both its input and its weights come out of integers."""

    name: str
    integer: bool


def float_convolutions(network: Network) -> set[str]:
    """Names of the convolutions that a network keeps in float."""
    kept = {part for layer in network.float_layers() for part in layer.modules()}
    return {
        name
        for name, part in network.named_modules()
        if part in kept and isinstance(part, nn.Conv2d)
    }


def walk(model: bytes) -> list[ConvLayer]:
    """The convolutions in the order in which they run."""
    return _layers(*_read(model))


def _read(model: bytes) -> tuple[onnx.GraphProto, dict[str, onnx.NodeProto]]:
    """The graph, and which node makes a tensor."""
    graph = onnx.load_from_string(model).graph
    return graph, {name: node for node in graph.node for name in node.output}


def _layers(graph: onnx.GraphProto, makers: dict[str, onnx.NodeProto]) -> list[ConvLayer]:
    return [
        ConvLayer(name=_layer(node, makers), integer=all(_integer(node, makers)))
        for node in graph.node
        if node.op_type == CONV
    ]


def check_int8(model: bytes, floats: Collection[str]) -> list[ConvLayer]:
    """floats: names of the convolutions that stay float, as in the network.

    Raises CompileError for a convolution that is float and should not be, or the other way round,
    or half of it; for a concatenation of different scales; for stray Cast and Identity nodes.
    """
    graph, makers = _read(model)
    wrong = list(_wrong(graph, makers, floats))
    if wrong:
        raise CompileError(
            "the exported graph would not run in INT8 as it was trained: " + "; ".join(wrong[:5]),
            next_step="compare the versions of torch, torchao and onnxscript with constraints.txt",
        )
    return _layers(graph, makers)


def _wrong(
    graph: onnx.GraphProto, makers: dict[str, onnx.NodeProto], floats: Collection[str]
) -> Iterator[str]:
    for node in graph.node:
        if node.op_type == CONV:
            name = _layer(node, makers)
            image, weight = _integer(node, makers)
            if image != weight:
                yield f"{name} has integers for its {'input' if image else 'weights'} alone"
            elif image == (name in floats):
                yield f"{name} is {'integer' if image else 'float'}"
        elif node.op_type == CONCAT:
            scales = {_scale(name, makers) for name in node.input}
            if len(scales) > 1:
                yield f"{node.name} joins tensors of {len(scales)} scales"
        elif node.op_type in STRAY:
            yield f"a stray {node.op_type} {node.name}"


def _integer(node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> tuple[bool, bool]:
    """Whether a convolution's input and its weights come out of integers."""
    image, weight = (makers.get(name) for name in node.input[:2])
    return tuple(one is not None and one.op_type == DEQUANTISE for one in (image, weight))  # type: ignore[return-value]


def _layer(node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> str:
    """The layer's name in the network: what its bias or weight is called."""
    name = node.input[2] if len(node.input) > 2 else node.input[1]
    maker = makers.get(name)
    while maker is not None:
        name = maker.input[0]
        maker = makers.get(name)
    return str(name).rpartition(".")[0]


def _scale(name: str, makers: dict[str, onnx.NodeProto]) -> str:
    """Which scale a tensor was rounded with; its own name where it was not."""
    maker = makers.get(name)
    return str(maker.input[1]) if maker is not None and maker.op_type == DEQUANTISE else name
