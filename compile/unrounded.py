"""Layers of an INT8 network returned to float: in the ONNX file, with the weights that were
trained, everything else as it was."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import NodeProto, numpy_helper

from scanside.compile.graph import DEQUANTISE, QUANTISE, Array, Graph

HANDS_ON = ("MaxPool", "Resize", "Concat", "DepthToSpace")
"""Give out values of their inputs and none of their own."""
SUFFIX = "_float"


def return_to_float(model: bytes, weights: Mapping[str, Array]) -> bytes:
    """The file with the layers in `weights` computed in float.

    weights: layer -> (outputs, inputs, rows, columns) float32, before they were rounded. A layer
    also reads its input before that was rounded: from behind the nearest Q/DQ and, where that only
    pools, joins or enlarges what was rounded before, from a copy of that in float. Other readers of
    the same tensor go on reading it rounded.
    """
    graph = Graph(model)
    nodes: list[NodeProto] = []
    copies: dict[str, str] = {}

    def unrounded(tensor: str) -> str:
        """The tensor as it was before anything was rounded on the way from the last computation;
        copies of the nodes on that way are put in front."""
        if tensor in copies:
            return copies[tensor]
        maker = graph.makers.get(tensor)
        if maker is None:
            return tensor
        if maker.op_type in (DEQUANTISE, QUANTISE):
            copies[tensor] = unrounded(maker.input[0])
        elif maker.op_type in HANDS_ON:
            inputs = [unrounded(name) for name in maker.input]
            if inputs != list(maker.input):
                copy = NodeProto()
                copy.CopyFrom(maker)
                copy.name += SUFFIX
                del copy.input[:]
                copy.input.extend(inputs)
                copy.output[0] += SUFFIX
                nodes.append(copy)
                copies[tensor] = copy.output[0]
        return copies.get(tensor, tensor)

    for node in graph.graph.node:
        name = graph.layer(node) if node.op_type == "Conv" else ""
        if name in weights:
            node.input[0] = unrounded(node.input[0])
            node.input[1] = f"{name}.weight{SUFFIX}"
            graph.graph.initializer.append(
                numpy_helper.from_array(weights[name].astype("float32"), node.input[1])
            )
        nodes.append(node)
    nodes = [_copied(node) for node in nodes]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    graph.drop_unused()
    onnx.checker.check_model(graph.proto, full_check=True)
    return graph.serialise()


def _copied(node: NodeProto) -> NodeProto:
    """Survives the clearing of the list that it lies in."""
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy
