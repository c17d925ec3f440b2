"""model.trt.onnx: FP16 where it may be, float32 where it must, and problems named by layer."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from quantised import u_net
from scanside.compile.graph import Graph
from scanside.compile.half import half_precision
from scanside.compile.lint import insist_on_parser
from scanside.compile.walk import walk
from scanside.runtime.bundle import MODEL, Bundle
from scanside.runtime.engines import onnxruntime

IMAGES = [np.random.default_rng(0).random((1, 1, 64, 96), dtype=np.float32)]


def apart(first: bytes, second: bytes) -> float:
    """Difference of two files, as a share of the first one's result."""
    results = [
        onnxruntime.load_network(file, 1, as_written=True)(IMAGES[0]) for file in (first, second)
    ]
    return float(np.sqrt(np.square(results[0] - results[1]).mean() / np.square(results[0]).mean()))


def types(model: bytes) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {one.name: one.type.tensor_type.elem_type for one in values}


@pytest.fixture(scope="module")
def model(tiny_bundle) -> bytes:
    return Bundle.open(tiny_bundle).member(MODEL)


def floats_of(model: bytes) -> set[str]:
    return {layer.name for layer in walk(Graph(model)) if not layer.integer}


def test_what_hangs_on_int8_is_fp16_and_the_ends_are_float32(model):
    half, table = half_precision(model, floats_of(model), IMAGES)
    kinds, graph = types(half), Graph(half)
    for node in graph.convolutions:
        expected = (
            TensorProto.FLOAT if graph.layer(node) in floats_of(model) else TensorProto.FLOAT16
        )
        assert kinds[node.output[0]] == expected, graph.layer(node)
    assert {kinds[one.name] for one in (*graph.graph.input, *graph.graph.output)} == {
        TensorProto.FLOAT
    }
    reads_image = [node for node in graph.graph.node if "image" in node.input]
    assert [node.op_type for node in reads_image] == ["Conv"]
    assert {row.name for row in table if row.half} == {
        layer.name for layer in walk(Graph(model)) if layer.integer
    }
    assert not any(row.problem for row in table)
    insist_on_parser(half)
    assert apart(model, half) < 0.05


def with_constant(model: bytes, name: str, change) -> bytes:
    proto = onnx.load_from_string(model)
    (tensor,) = [one for one in proto.graph.initializer if one.name == name]
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))
    return proto.SerializeToString()


def test_values_that_fp16_cannot_hold_are_found_by_layer_and_stay_float32(model):
    graph = Graph(model)
    node = next(one for one in graph.convolutions if all(graph.integer(one)))
    name = graph.layer(node)
    large = with_constant(model, node.input[2], lambda bias: np.full_like(bias, 30000.0))
    half, table = half_precision(large, floats_of(model), IMAGES)
    problems = {row.name: row.problem for row in table if row.problem}
    assert name in problems
    assert "FP16 ends at 65504" in problems[name]
    assert types(half)[node.output[0]] == TensorProto.FLOAT


def test_scales_that_fp16_would_round_are_found_by_layer(model):
    graph = Graph(model)
    node = next(one for one in graph.convolutions if all(graph.integer(one)))
    scales = graph.makers[node.input[1]].input[1]
    tiny = with_constant(model, scales, lambda scale: np.full_like(scale, 2e-6))
    _, table = half_precision(tiny, floats_of(model), IMAGES)
    assert [row.name for row in table if "a scale of 2e-06" in row.problem] == [graph.layer(node)]


def test_a_graph_of_every_operator_is_cast():
    model = u_net()
    half, _ = half_precision(model, floats_of(model), IMAGES)
    assert apart(model, half) < 0.05
