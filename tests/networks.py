"""A small network with all that makes tiling hard: pooling, upsampling, skips, zero padding."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

MULTIPLE = 4
# Of make_unet: 3 x 3 convolutions at full, half and quarter size and back, 1 + 2 + 4 + 2 + 1
# pixels, and what the pools add on a grid of 4.
RECEPTIVE_FIELD = 14


def make_unet(scale: int) -> bytes:
    """ONNX bytes: two max-pools, two nearest upsamplings with skips, five convolutions; random
    weights from a fixed seed, residuals within -1..1."""
    rng = np.random.default_rng(11)
    nodes, weights = [], []

    def convolution(source: str, channels_in: int, channels_out: int, out: str) -> None:
        kernel = rng.normal(0, 0.4, (channels_out, channels_in, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"{out}_kernel"))
        nodes.append(
            helper.make_node("Conv", [source, f"{out}_kernel"], [f"{out}_pre"], pads=[1] * 4)
        )
        nodes.append(helper.make_node("Relu" if out != "last" else "Tanh", [f"{out}_pre"], [out]))

    def pool(source: str, out: str) -> None:
        nodes.append(
            helper.make_node("MaxPool", [source], [out], kernel_shape=[2, 2], strides=[2, 2])
        )

    def up_and_add(source: str, skip: str, out: str) -> None:
        nodes.append(helper.make_node("Resize", [source, "", "twice"], [f"{out}_up"]))
        nodes.append(helper.make_node("Add", [f"{out}_up", skip], [out]))

    weights.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"))
    convolution("image", 1, 4, "full")
    pool("full", "half_in")
    convolution("half_in", 4, 4, "half")
    pool("half", "quarter_in")
    convolution("quarter_in", 4, 4, "quarter")
    up_and_add("quarter", "half", "half_sum")
    convolution("half_sum", 4, 4, "half_out")
    up_and_add("half_out", "full", "full_sum")
    convolution("full_sum", 4, scale * scale, "last")
    nodes.append(helper.make_node("DepthToSpace", ["last"], ["residual"], blocksize=scale))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "unet",
        [value("image", TensorProto.FLOAT, ["N", 1, "H", "W"])],
        [value("residual", TensorProto.FLOAT, ["N", 1, "H2", "W2"])],
        weights,
    )
    opset = helper.make_opsetid("", 20)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString()
