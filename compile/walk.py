"""What of an exported graph will run in INT8: said convolution by convolution, and checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec
from torch import nn

from scanside.compile.graph import CONCAT, CONV, DEQUANTISE, Graph
from scanside.runtime.errors import CompileError
from scanside.train.models.network import Network

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


def walk(graph: Graph) -> list[ConvLayer]:
    """The convolutions in the order in which they run."""
    return [
        ConvLayer(name=graph.layer(node), integer=all(graph.integer(node)))
        for node in graph.convolutions
    ]


def check_int8(model: bytes, floats: Collection[str]) -> list[ConvLayer]:
    """floats: names of the convolutions that stay float, as in the network.

    Raises CompileError for a convolution that is float and should not be, or the other way round,
    or half of it; for a concatenation of different scales; for stray Cast and Identity nodes.
    """
    graph = Graph(model)
    wrong = list(_wrong(graph, floats))
    if wrong:
        raise CompileError(
            "the exported graph would not run in INT8 as it was trained: " + "; ".join(wrong[:5]),
            next_step="compare the versions of torch, torchao and onnxscript with constraints.txt",
        )
    return walk(graph)


def _wrong(graph: Graph, floats: Collection[str]) -> Iterator[str]:
    for node in graph.graph.node:
        if node.op_type == CONV:
            name = graph.layer(node)
            image, weight = graph.integer(node)
            if image != weight:
                yield f"{name} has integers for its {'input' if image else 'weights'} alone"
            elif image == (name in floats):
                yield f"{name} is {'integer' if image else 'float'}"
        elif node.op_type == CONCAT:
            scales = {_scale(name, graph) for name in node.input}
            if len(scales) > 1:
                yield f"{node.name} joins tensors of {len(scales)} scales"
        elif node.op_type in STRAY:
            yield f"a stray {node.op_type} {node.name}"


def _scale(tensor: str, graph: Graph) -> str:
    """Which scale a tensor was rounded with; its own name where it was not."""
    maker = graph.maker(tensor, DEQUANTISE)
    return tensor if maker is None else str(maker.input[1])
