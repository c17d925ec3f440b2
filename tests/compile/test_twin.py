"""The uint8 twin on a small Q/DQ network: same numbers, a form that CPUs fuse, nothing by guess."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantised import CHANNELS, STEP, Network, two_convolutions, u_net
from scanside.compile.twin import cpu_twin
from scanside.runtime.errors import CompileError

Array = npt.NDArray[np.generic]


def image() -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).random((2, 1, 24, 32), np.float32)


def session(model: bytes, *, optimised: bool, dump: Path | None = None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    if dump is not None:
        options.optimized_model_filepath = str(dump)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(model: bytes, *, optimised: bool) -> npt.NDArray[np.float32]:
    result = session(model, optimised=optimised).run(None, {"image": image()})[0]
    assert isinstance(result, np.ndarray)
    return result


def codes_types(model: bytes) -> dict[str, tuple[int, int]]:
    """Operator that feeds a QuantizeLinear -> (ONNX type, zero point) of its codes."""
    graph = onnx.load_model_from_string(model).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node.op_type for node in graph.node for name in node.output}
    return {
        makers[node.input[0]]: (
            constants[node.input[2]].data_type,
            int(numpy_helper.to_array(constants[node.input[2]])),
        )
        for node in graph.node
        if node.op_type == "QuantizeLinear"
    }


@pytest.mark.parametrize("network", [two_convolutions, u_net])
def test_without_fusion_the_twin_is_equal_to_the_last_bit(network: Callable[[], bytes]) -> None:
    """Operator by operator both files quantise to the same grid: no tolerance is needed."""
    original = network()
    expected = run(original, optimised=False)
    np.testing.assert_array_equal(run(cpu_twin(original), optimised=False), expected)
    assert np.ptp(expected) > 10 * STEP  # and not because there was nothing to see


def test_what_int8_would_clip_the_twin_clips_later() -> None:
    original = two_convolutions(step=0.002)
    clipped, kept = run(original, optimised=False), run(cpu_twin(original), optimised=False)
    assert clipped.max() == np.float32(127 * np.float32(0.002))
    assert kept.max() == np.float32(255 * np.float32(0.002))


def test_fused_the_twin_is_within_one_step() -> None:
    """The integer kernel sums exactly and rounds once, where the float one rounded every product:
    a value next to a tie may fall to the neighbouring code, never further."""
    original = two_convolutions()
    difference = run(cpu_twin(original), optimised=True) - run(original, optimised=False)
    assert np.abs(difference).max() <= STEP * 1.001
    assert np.mean(difference != 0) < 0.01


def test_onnx_runtime_keeps_no_float_island_in_the_twin(tmp_path: Path) -> None:
    def operators(model: bytes, name: str) -> list[str]:
        session(model, optimised=True, dump=tmp_path / name)
        return [node.op_type for node in onnx.load(tmp_path / name).graph.node]

    original = u_net()
    twin = operators(cpu_twin(original), "twin.onnx")
    assert twin.count("QLinearConv") == 3
    assert "Relu" not in twin
    # One entrance, one exit (the skip of the first, float conv enters where it is quantised).
    assert twin.count("QuantizeLinear") == 1
    assert twin.count("DequantizeLinear") == 1
    assert "QLinearAdd" in twin
    assert "QLinearConcat" in twin
    # The trap that the twin is for: the same file with int8 codes runs its ReLUs in float.
    assert operators(original, "original.onnx").count("DequantizeLinear") > 3


def test_codes_are_unsigned_and_centred_only_where_they_may_be_negative() -> None:
    types = codes_types(cpu_twin(u_net()))
    unsigned = TensorProto.UINT8
    assert types["Relu"] == types["MaxPool"] == (unsigned, 0)
    assert types["Conv"] == types["Add"] == types["Resize"] == types["Concat"] == (unsigned, 128)


def clip(net: Network, tensor: str, least: float) -> str:
    low = net.constant("least", np.array(least, np.float32))
    high = net.constant("most", np.array(6, np.float32))
    return net.add("Clip", tensor, low, high)


def resize(net: Network, tensor: str, mode: str) -> str:
    net.constant("factors", np.array([1, 1, 2, 2], np.float32))
    return net.add("Resize", tensor, "", "factors", mode=mode)


@pytest.mark.parametrize(
    ("build", "zero"),
    [
        (lambda net, x: clip(net, net.int8_conv(x), 0.0), 0),
        (lambda net, x: clip(net, net.int8_conv(x), -1.0), 128),
        (lambda net, x: net.add("Clip", net.int8_conv(x)), 128),
        (lambda net, x: net.add("Sigmoid", net.int8_conv(x)), 0),
        (lambda net, x: net.add("Concat", x, x, axis=1), 0),
        (lambda net, x: resize(net, x, "linear"), 0),
        (lambda net, x: resize(net, x, "cubic"), 128),
        (lambda net, x: net.add("Neg", x), 128),
    ],
)
def test_what_counts_as_never_negative(build: Callable[[Network, str], str], zero: int) -> None:
    net = Network()
    relu = net.quantised(net.add("Relu", net.float_conv("image", 1, CHANNELS)))
    made = build(net, relu)
    twin = cpu_twin(net.model(net.quantised(made)))
    assert codes_types(twin)[net.kind_of(made)] == (TensorProto.UINT8, zero)


def test_every_zero_point_is_its_nodes_own() -> None:
    graph = onnx.load_model_from_string(cpu_twin(u_net())).graph
    zeros = [node.input[2] for node in graph.node if node.op_type.endswith("quantizeLinear")]
    zeros += [node.input[2] for node in graph.node if node.op_type == "QuantizeLinear"]
    assert len(zeros) == len(set(zeros)) > 10
    used = {name for node in graph.node for name in node.input}
    assert {tensor.name for tensor in graph.initializer} <= used


def test_weights_are_left_as_they_are() -> None:
    def weights(model: bytes) -> dict[str, bytes]:
        graph = onnx.load_model_from_string(model).graph
        stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        return {k: v.tobytes() for k, v in stored.items() if k.startswith(("codes", "scales"))}

    original = u_net()
    assert weights(cpu_twin(original)) == weights(original) != {}


def test_the_twin_is_the_same_every_time_and_has_none_of_its_own() -> None:
    original = u_net()
    twin = cpu_twin(original)
    assert twin == cpu_twin(original)
    with pytest.raises(CompileError, match="not int8"):
        cpu_twin(twin)


def edited(edit: Callable[[onnx.ModelProto], object]) -> bytes:
    proto = onnx.load_model_from_string(two_convolutions())
    edit(proto)
    serialised: bytes = proto.SerializeToString()
    return serialised


def replace(name: str, value: Array) -> Callable[[onnx.ModelProto], object]:
    def edit(proto: onnx.ModelProto) -> None:
        tensor = next(t for t in proto.graph.initializer if t.name == name)
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(value), name))

    return edit


def first(proto: onnx.ModelProto, kind: str) -> onnx.NodeProto:
    found: onnx.NodeProto = next(node for node in proto.graph.node if node.op_type == kind)
    return found


def external(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].data_location = TensorProto.EXTERNAL


def other_scale(proto: onnx.ModelProto) -> None:
    proto.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "other"))
    first(proto, "QuantizeLinear").input[1] = "other"


def scale_input(proto: onnx.ModelProto) -> None:
    proto.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, []))


def codes_out(proto: onnx.ModelProto) -> None:
    name = first(proto, "QuantizeLinear").output[0]
    proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.INT8, None))


def computes_on_codes(proto: onnx.ModelProto) -> None:
    codes = first(proto, "QuantizeLinear").output[0]
    proto.graph.node.append(helper.make_node("Identity", [codes], ["copied"]))


def codes_in(proto: onnx.ModelProto) -> None:
    codes = helper.make_tensor_value_info("codes", TensorProto.INT8, None)
    proto.graph.input.append(codes)
    proto.graph.node.append(helper.make_node("DequantizeLinear", ["codes", "scale"], ["float"]))


def run_time_weights(proto: onnx.ModelProto) -> None:
    kernel = next(t.name for t in proto.graph.initializer if t.name.startswith("float_kernel"))
    inputs = [kernel, "scale", "zero"]
    proto.graph.node.append(helper.make_node("QuantizeLinear", inputs, ["kernel_codes"]))


def control_flow(proto: onnx.ModelProto) -> None:
    branch = helper.make_graph([], "branch", [], [])
    node = helper.make_node("If", ["c"], [], then_branch=branch, else_branch=branch)
    proto.graph.node.append(node)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (replace("zero", np.array(3, np.int8)), "zero point 0"),
        (replace("zero", np.array(0, np.uint8)), "zero point 0"),
        (replace("scale", np.full(CHANNELS, STEP, np.float32)), "per channel"),
        (replace("scale", np.array(0, np.float32)), "not over 0"),
        (replace("scale", np.array(np.nan, np.float32)), "not over 0"),
        (replace("weight_zero", np.arange(CHANNELS).astype(np.int8)), "not 0"),
        (lambda proto: first(proto, "QuantizeLinear").input.pop(), "no zero point"),
        (lambda proto: proto.opset_import[0].CopyFrom(helper.make_opsetid("", 21)), "opset 21"),
        (other_scale, "dequantised with the scale"),
        (scale_input, "not a constant"),
        (codes_out, "leaves the network"),
        (computes_on_codes, "computes on quantised codes"),
        (codes_in, "no QuantizeLinear made"),
        (run_time_weights, "at run time"),
        (control_flow, "control flow"),
        (external, "another file"),
    ],
)
def test_what_is_not_understood_is_refused(
    edit: Callable[[onnx.ModelProto], object], reason: str
) -> None:
    with pytest.raises(CompileError, match=reason) as caught:
        cpu_twin(edited(edit))
    assert caught.value.next_step


def test_what_is_not_a_quantised_network_is_refused() -> None:
    net = Network()
    with pytest.raises(CompileError, match="no activation is quantised"):
        cpu_twin(net.model(net.float_conv("image", 1, CHANNELS)))
    with pytest.raises(CompileError, match="not an ONNX file"):
        cpu_twin(b"\xff\xff\xff rubbish")
