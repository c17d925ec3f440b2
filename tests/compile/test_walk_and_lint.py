"""What will run in INT8 is said and checked, and what TensorRT's parser would refuse is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("torch", reason="needs the extra [workstation]")

import torch

from scanside.compile.export import export_onnx
from scanside.compile.graph import Graph
from scanside.compile.lint import insist_on_parser, lint, parser_rules
from scanside.compile.walk import check_int8, float_convolutions, walk
from scanside.runtime.bundle import CPU_MODEL, MODEL, Bundle
from scanside.runtime.errors import CompileError
from scanside.train.models import Network, build
from scanside.train.qat import convert, prepare
from scanside.train.recipe import Shape, SRGANShape, SRNetShape, UNetShape

SHAPES: dict[str, Shape] = {
    "unet": UNetShape(widths=(8, 16)),
    "srnet": SRNetShape(width=8, blocks=4),
    "srgan": SRGANShape(width=8, blocks=2),
}
Edit = Callable[[onnx.ModelProto], object]


@pytest.fixture(scope="module", params=SHAPES)
def exported(request: pytest.FixtureRequest) -> tuple[Network, bytes]:
    torch.manual_seed(0)
    network = build(SHAPES[request.param])
    prepared = prepare(network)
    with torch.no_grad():
        prepared(torch.rand(2, 1, 32, 32))
    return network, export_onnx(convert(prepared), network.multiple_of)


@pytest.fixture(scope="module")
def unet(tiny_bundle) -> bytes:
    return Bundle.open(tiny_bundle).member(MODEL)


def edited(model: bytes, edit: Edit) -> bytes:
    proto = onnx.load_from_string(model)
    edit(proto)
    return proto.SerializeToString()


def first(proto: onnx.ModelProto, kind: str) -> onnx.NodeProto:
    return next(node for node in proto.graph.node if node.op_type == kind)


def constant(proto: onnx.ModelProto, name: str, values: np.ndarray) -> None:
    (old,) = (tensor for tensor in proto.graph.initializer if tensor.name == name)
    old.CopyFrom(numpy_helper.from_array(values, name))


def test_every_architecture_passes(exported):
    network, model = exported
    layers = check_int8(model, float_convolutions(network))
    assert sum(layer.integer for layer in layers) >= 2
    assert not layers[0].integer
    for version in parser_rules().opsets:
        assert lint(model, version) == []
    insist_on_parser(model)


def test_the_walk_names_layers_as_the_network_does(unet):
    names = [layer.name for layer in walk(Graph(unet))]
    assert names[0] == "encoders.0.0"
    assert names[-1] == "last"
    assert len(names) == len(set(names)) == 8


def test_a_layer_that_is_float_and_should_not_be(unet):
    with pytest.raises(CompileError, match=r"decoders\.0\.0 is integer"):
        check_int8(unet, {"encoders.0.0", "encoders.0.3", "last", "decoders.0.0"})
    with pytest.raises(CompileError, match="last is float"):
        check_int8(unet, {"encoders.0.0", "encoders.0.3"})


def bypass_rounding(proto: onnx.ModelProto) -> None:
    """The input of an integer convolution straight from before its Q/DQ."""
    makers = {name: node for node in proto.graph.node for name in node.output}
    for node in proto.graph.node:
        image = makers.get(node.input[0])
        if node.op_type == "Conv" and image is not None and image.op_type == "DequantizeLinear":
            node.input[0] = makers[image.input[0]].input[0]
            return


def two_scales(proto: onnx.ModelProto) -> None:
    join = first(proto, "Concat")
    makers = {name: node for node in proto.graph.node for name in node.output}
    other = numpy_helper.from_array(np.float32(0.5), "another")
    proto.graph.initializer.append(other)
    makers[join.input[0]].input[1] = "another"


def stray(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(helper.make_node("Identity", ["image"], ["nothing"], name="extra"))


@pytest.mark.parametrize(
    ("edit", "words"),
    [(bypass_rounding, "its weights alone"), (two_scales, "2 scales"), (stray, "stray Identity")],
)
def test_a_graph_that_would_not_run_in_int8_is_refused(unet, edit, words):
    floats = {"encoders.0.0", "encoders.0.3", "last"}
    check_int8(unet, floats)
    with pytest.raises(CompileError, match=words):
        check_int8(edited(unet, edit), floats)


def zero_point(proto: onnx.ModelProto) -> None:
    name = first(proto, "QuantizeLinear").input[2]
    constant(proto, name, np.array(3, np.int8))


def negative_scale(proto: onnx.ModelProto) -> None:
    constant(proto, first(proto, "QuantizeLinear").input[1], np.array(-0.1, np.float32))


def old_opset(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 21


def coordinates(proto: onnx.ModelProto) -> None:
    for attribute in first(proto, "Resize").attribute:
        if attribute.name == "coordinate_transformation_mode":
            attribute.s = b"tf_crop_and_resize"


def indices(proto: onnx.ModelProto) -> None:
    first(proto, "MaxPool").output.append("where")


def strange(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(helper.make_node("Erf", ["image"], ["e"], name="odd"))


def integer_cast(proto: onnx.ModelProto) -> None:
    node = helper.make_node("Cast", ["image"], ["e"], name="odd", to=TensorProto.INT8)
    proto.graph.node.append(node)


def double_tensor(proto: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(np.zeros(1, np.float64), "wide")
    proto.graph.initializer.append(values)
    proto.graph.node.append(helper.make_node("Add", ["wide", "wide"], ["e"], name="odd"))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (zero_point, "zero point that is not 0"),
        (negative_scale, "scale that is not positive"),
        (old_opset, "opset 21"),
        (coordinates, "the coordinates tf_crop_and_resize"),
        (indices, "indices"),
        (strange, "Erf odd: an operator that is not in the table"),
        (integer_cast, "a cast to INT8"),
        (double_tensor, "a tensor of DOUBLE"),
    ],
)
def test_what_the_parser_would_refuse_is_refused_by_node(unet, edit, words):
    with pytest.raises(CompileError) as caught:
        insist_on_parser(edited(unet, edit), ("10.3.0",))
    assert words in caught.value.message


def test_a_newer_parser_takes_a_newer_opset(unet):
    newer = edited(unet, old_opset)
    assert lint(newer, "11.4") == []
    assert lint(newer, "10.16")


def test_the_cpu_twin_never_goes_into_tensorrt(tiny_bundle):
    found = lint(Bundle.open(tiny_bundle).member(CPU_MODEL), "10.3")
    assert any("UINT8" in one.rule for one in found)
