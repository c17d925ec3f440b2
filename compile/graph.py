"""An ONNX graph indexed by tensor name: who makes a tensor, who reads it, what is constant."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import GraphProto, NodeProto, numpy_helper

Array = npt.NDArray[np.generic]

CONV, CONCAT = "Conv", "Concat"
QUANTISE, DEQUANTISE = "QuantizeLinear", "DequantizeLinear"


class Graph:
    """Of an ONNX file's bytes. makers: tensor -> node; constants: tensor -> initializer."""

    def __init__(self, model: bytes) -> None:
        self.proto = onnx.load_from_string(model)
        self.graph: GraphProto = self.proto.graph
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}

    @property
    def convolutions(self) -> list[NodeProto]:
        """In the order in which they run."""
        return [node for node in self.graph.node if node.op_type == CONV]

    def maker(self, tensor: str, kind: str) -> NodeProto | None:
        """The node that makes a tensor, if its operator is `kind`."""
        node = self.makers.get(tensor)
        return node if node is not None and node.op_type == kind else None

    def before(self, tensor: str) -> str:
        """The tensor before it was rounded; itself where it was not."""
        dequantise = self.maker(tensor, DEQUANTISE)
        quantise = dequantise and self.maker(dequantise.input[0], QUANTISE)
        return str(quantise.input[0]) if quantise else tensor

    def array(self, tensor: str) -> Array:
        """A constant's values."""
        return np.asarray(numpy_helper.to_array(self.constants[tensor]))

    def layer(self, convolution: NodeProto) -> str:
        """The layer's name in the network: what its bias or weight is called."""
        inputs = convolution.input
        name = inputs[2] if len(inputs) > 2 else inputs[1]
        while name in self.makers:
            name = self.makers[name].input[0]
        return str(name).rpartition(".")[0]

    def integer(self, convolution: NodeProto) -> tuple[bool, bool]:
        """Whether a convolution's input and its weights come out of integers."""
        image, weight = convolution.input[:2]
        return (
            self.maker(image, DEQUANTISE) is not None,
            self.maker(weight, DEQUANTISE) is not None,
        )

    def drop_unused(self) -> None:
        """Take out nodes and constants that nothing reads any more."""
        nodes, wanted = [], {value.name for value in self.graph.output}
        for node in reversed(self.graph.node):
            if wanted & set(node.output):
                nodes.append(node)
                wanted |= set(node.input)
        constants = [tensor for tensor in self.graph.initializer if tensor.name in wanted]
        nodes.reverse()
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        del self.graph.initializer[:]
        self.graph.initializer.extend(constants)

    def serialise(self) -> bytes:
        serialised: bytes = self.proto.SerializeToString(deterministic=True)
        return serialised
