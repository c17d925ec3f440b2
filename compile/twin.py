"""The uint8 twin of an INT8 network: the same numbers in the form that CPU engines run fast.

TensorRT wants symmetric int8 (zero point 0) everywhere. On a CPU that form is a trap twice: ONNX
Runtime does not fuse an int8 convolution with its ReLU, and without VNNI the products of signed
codes, shifted to unsigned, overflow in pairs. The twin keeps every scale and moves the codes:

- what a ReLU feeds becomes uint8 with zero point 0: codes 0..127 stay what they were, pairs of
  them cannot overflow, and the ReLU is absorbed by the quantisation. Values that int8 would have
  clipped at 127 go on to 255: the twin clips later than the reference, never earlier;
- any other activation becomes uint8 with zero point 128: code c becomes c + 128, range and all.

Weights stay int8 and symmetric.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from scanside.runtime.errors import CompileError

Array = npt.NDArray[np.generic]

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
OPSETS = range(13, 21)

_NEVER_NEGATIVE = ("Relu", "Sigmoid")
# Give out nothing below the least of their inputs; how many of their inputs count (None: all).
_KEEPS_SIGN = {
    "Concat": None,
    "DepthToSpace": 1,
    "Identity": 1,
    "MaxPool": 1,
    QUANTIZE: 1,
    DEQUANTIZE: 1,
}


def cpu_twin(model: bytes) -> bytes:
    """The uint8 twin of an ONNX file whose activations are int8, per tensor, with zero point 0.

    Where no activation goes over code 127, both files quantise to the same values bit by bit.
    Raises CompileError for a graph that is not of this form: nothing is converted by guess.
    """
    proto = _load(model)
    graph = _Graph(proto.graph)
    pairs = graph.pairs()
    if not pairs:
        raise _refuse("no activation is quantised")
    for quantize, dequantizes in pairs:
        zero = 0 if graph.never_negative(quantize.input[0]) else 128
        for node in (quantize, *dequantizes):
            graph.give_zero_point(node, np.array(zero, np.uint8))
    for node in graph.weight_dequantizes():
        # ONNX Runtime's quantisation passes rewrite a node's zero point in place: it must be the
        # node's own.
        if len(node.input) > 2:
            graph.give_zero_point(node, graph.constant(node.input[2]))
    graph.drop_unused_constants()
    del proto.graph.value_info[:]  # they call the quantised tensors int8
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _refuse("its twin is not valid ONNX") from error
    twin: bytes = proto.SerializeToString(deterministic=True)
    return twin


def _refuse(what: str) -> CompileError:
    return CompileError(
        f"the quantised network cannot be turned into its CPU form: {what}",
        next_step="export it with symmetric int8 activations, one scale per tensor",
    )


def _load(model: bytes) -> ModelProto:
    try:
        proto = onnx.load_model_from_string(model)
    except DecodeError as error:
        raise _refuse("this is not an ONNX file") from error
    opset = next((entry.version for entry in proto.opset_import if entry.domain == ""), 0)
    if opset not in OPSETS:
        raise _refuse(f"opset {opset} is not one of {OPSETS.start} to {OPSETS.stop - 1}")
    if proto.functions or any(_subgraphs(node) for node in proto.graph.node):
        raise _refuse("it has functions or control flow")
    for tensor in proto.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            raise _refuse("its weights lie in another file")
    return proto


def _subgraphs(node: NodeProto) -> bool:
    return any(
        attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS)
        for attribute in node.attribute
    )


class _Graph:
    """A graph with its constants and producers indexed by tensor name."""

    def __init__(self, graph: GraphProto) -> None:
        self._graph = graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._producers = {name: node for node in graph.node for name in node.output}
        self._inputs = {value.name for value in graph.input}
        self._outputs = {value.name for value in graph.output}

    def constant(self, name: str) -> Array:
        # An initialiser that is also a graph input is only a default: a caller may change it.
        if name not in self._constants or name in self._inputs:
            raise _refuse(f"a scale or zero point ({name}) is not a constant")
        return numpy_helper.to_array(self._constants[name])

    def weight_dequantizes(self) -> list[NodeProto]:
        """Nodes that turn stored integers into weights, checked to be symmetric."""
        nodes = [
            node
            for node in self._graph.node
            if node.op_type == DEQUANTIZE and node.input[0] in self._constants
        ]
        for node in nodes:
            if self.constant(node.input[0]).dtype not in (np.int8, np.int32):
                raise _refuse(f"weights ({node.input[0]}) are not int8")
            if len(node.input) > 2 and self.constant(node.input[2]).any():
                raise _refuse(f"weights ({node.input[0]}) have a zero point that is not 0")
        return nodes

    def pairs(self) -> list[tuple[NodeProto, list[NodeProto]]]:
        """Every QuantizeLinear with the DequantizeLinear nodes that read it, both checked."""
        readers: dict[str, list[NodeProto]] = {}
        for node in self._graph.node:
            for name in node.input:
                readers.setdefault(name, []).append(node)
            from_activation = node.op_type == DEQUANTIZE and node.input[0] not in self._constants
            if from_activation and self._producer_type(node.input[0]) != QUANTIZE:
                raise _refuse(f"a {DEQUANTIZE} reads what no {QUANTIZE} made")
        found = []
        for node in self._graph.node:
            if node.op_type != QUANTIZE:
                continue
            if node.input[0] in self._constants:
                raise _refuse(f"weights ({node.input[0]}) are quantised at run time")
            reading = readers.get(node.output[0], [])
            if node.output[0] in self._outputs or not reading:
                raise _refuse("a quantised tensor leaves the network")
            if any(reader.op_type != DEQUANTIZE for reader in reading):
                raise _refuse("an operator computes on quantised codes")
            parameters = self._activation(node)
            if any(self._activation(reader) != parameters for reader in reading):
                raise _refuse("a tensor is not dequantised with the scale it was quantised with")
            found.append((node, reading))
        return found

    def _producer_type(self, name: str) -> str:
        producer = self._producers.get(name)
        return producer.op_type if producer is not None else ""

    def _activation(self, node: NodeProto) -> float:
        """The scale of an activation's node, after checking that it is symmetric int8."""
        if len(node.input) < 3 or not node.input[2]:
            raise _refuse("an activation has no zero point, and so is uint8 already")
        scale, zero = self.constant(node.input[1]), self.constant(node.input[2])
        if scale.size != 1 or zero.size != 1:
            raise _refuse(f"an activation ({node.input[0]}) has a scale per channel")
        if zero.dtype != np.int8 or zero.item() != 0:
            raise _refuse(f"an activation ({node.input[0]}) is not int8 with zero point 0")
        if not 0 < scale.item() < np.inf:
            raise _refuse(f"an activation ({node.input[0]}) has a scale that is not over 0")
        return float(scale.item())

    def never_negative(self, name: str) -> bool:
        """Whether a tensor can be shown to hold nothing below 0; False where it is not known."""
        producer = self._producers.get(name)
        if producer is None:
            return False
        kind = producer.op_type
        if kind in _NEVER_NEGATIVE or (kind == "Clip" and self._clips_at_zero(producer)):
            return True
        if kind not in _KEEPS_SIGN and not (kind == "Resize" and _interpolates(producer)):
            return False
        counted = producer.input[: _KEEPS_SIGN.get(kind, 1)]
        return all(self.never_negative(source) for source in counted)

    def _clips_at_zero(self, node: NodeProto) -> bool:
        """ReLU6 is a Clip; its bounds are inputs, and may be left out."""
        has_least = len(node.input) > 1 and node.input[1] in self._constants
        return has_least and self.constant(node.input[1]).item() >= 0

    def give_zero_point(self, node: NodeProto, value: Array) -> None:
        """A zero point of the node's own; at this opset its type also is the codes' type."""
        name = f"{node.output[0]}_zero_point"
        while name in self._constants or name in self._producers or name in self._inputs:
            name += "_"
        tensor = numpy_helper.from_array(value, name)
        self._graph.initializer.append(tensor)
        self._constants[name] = tensor
        node.input[2] = name

    def drop_unused_constants(self) -> None:
        used = {name for node in self._graph.node for name in node.input} | self._outputs
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)


def _interpolates(node: NodeProto) -> bool:
    """Nearest and linear resizing stay between their inputs; cubic goes beyond."""
    modes = [attribute.s for attribute in node.attribute if attribute.name == "mode"]
    return modes != [b"cubic"]
