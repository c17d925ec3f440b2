"""Small INT8 networks in the form that PT2E exports: Q/DQ around every operator, zero point 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.generic]

STEP = 0.05
"""Every activation's scale, one code: 127 of them hold every activation of these networks."""
CHANNELS = 4


class Network:
    """Writes a graph in the form that PT2E exports."""

    def __init__(self, step: float = STEP) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(4)
        self.constant("scale", np.array(step, np.float32))
        self.constant("zero", np.array(0, np.int8))
        self.constant("weight_zero", np.zeros(CHANNELS, np.int8))

    def constant(self, name: str, value: Array) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def kind_of(self, tensor: str) -> str:
        return next(str(node.op_type) for node in self.nodes if tensor in node.output)

    def quantised(self, tensor: str) -> str:
        codes = self.add("QuantizeLinear", tensor, "scale", "zero")
        return self.add("DequantizeLinear", codes, "scale", "zero")

    def float_conv(self, tensor: str, inputs: int, outputs: int) -> str:
        weights = self._rng.normal(0, 0.3, (outputs, inputs, 3, 3)).astype(np.float32)
        kernel = self.constant(f"float_kernel_{len(self.nodes)}", weights)
        return self.add("Conv", tensor, kernel, pads=[1] * 4)

    def int8_conv(self, tensor: str, inputs: int = CHANNELS) -> str:
        number = len(self.nodes)
        codes = self._rng.integers(-127, 128, (CHANNELS, inputs, 3, 3)).astype(np.int8)
        scales = self._rng.uniform(0.002, 0.004, CHANNELS).astype(np.float32)
        bias = self.constant(f"bias_{number}", self._rng.normal(0, 0.1, CHANNELS).astype("f4"))
        kernel = self.add(
            "DequantizeLinear",
            self.constant(f"codes_{number}", codes),
            self.constant(f"scales_{number}", scales),
            "weight_zero",
            axis=0,
        )
        return self.add("Conv", tensor, kernel, bias, pads=[1] * 4)

    def model(self, output: str, opset: int = 20) -> bytes:
        shape = ["N", "C", "H2", "W2"]
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, "H", "W"])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            self.constants,
        )
        opsets = [helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        # As exporters do: the types of the tensors between, which the twin must not keep.
        model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model, full_check=True)
        serialised: bytes = model.SerializeToString()
        return serialised


def two_convolutions(step: float = STEP) -> bytes:
    """Float conv, ReLU, INT8 conv, ReLU: one integer kernel, whose codes are the output."""
    net = Network(step)
    first = net.quantised(net.add("Relu", net.float_conv("image", 1, CHANNELS)))
    return net.model(net.quantised(net.add("Relu", net.int8_conv(first))))


def u_net() -> bytes:
    """Everything our networks hold: a skip, pooling, resizing, a signed branch, a residual add."""
    net = Network()
    first = net.quantised(net.add("Relu", net.float_conv("image", 1, CHANNELS)))
    pooled = net.quantised(net.add("MaxPool", first, kernel_shape=[2, 2], strides=[2, 2]))
    deep = net.quantised(net.add("Relu", net.int8_conv(pooled)))
    signed = net.quantised(net.int8_conv(deep))
    added = net.quantised(net.add("Add", deep, signed))
    net.constant("factors", np.array([1, 1, 2, 2], np.float32))
    up = net.add(
        *("Resize", added, "", "factors"),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    joined = net.quantised(net.add("Concat", net.quantised(up), first, axis=1))
    last = net.quantised(net.add("Relu", net.int8_conv(joined, 2 * CHANNELS)))
    return net.model(net.float_conv(last, CHANNELS, CHANNELS))
