"""What TensorRT's ONNX parser would refuse, refused here, by node, before a device does it.

The table (parser_rules.json) was read from onnx-tensorrt's sources; no parser ran here. It says
nothing of whether a plan builds: that only a device knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scanside.runtime.errors import CompileError

QUANTISE, DEQUANTISE, CAST = "QuantizeLinear", "DequantizeLinear", "Cast"
SHOWN = 5


class ParserRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """opsets: lowest and highest, by TensorRT's major.minor. float_operators: take `float_types`
    alone; INT8 comes from Q/DQ around them. constant_inputs: positions that are initialisers."""

    source: str
    opsets: dict[str, tuple[int, int]]
    float_operators: frozenset[str]
    float_types: frozenset[str]
    quantised_types: frozenset[str]
    cast_types: frozenset[str]
    resize_modes: frozenset[str]
    constant_inputs: dict[str, tuple[int, ...]]


class Finding(msgspec.Struct, frozen=True):
    """node: its name, with its operator. rule: what it breaks."""

    node: str
    rule: str


@lru_cache(maxsize=1)
def parser_rules() -> ParserRules:
    raw = files(__package__).joinpath("parser_rules.json").read_bytes()
    return msgspec.json.decode(raw, type=ParserRules)


def insist_on_parser(model: bytes, tensorrt: tuple[str, ...] = ()) -> None:
    """Raises CompileError naming the nodes that a parser would refuse.

    tensorrt: versions (major.minor...) that have to take the file [all in the table].
    """
    found = {
        finding: version
        for version in tensorrt or tuple(parser_rules().opsets)
        for finding in lint(model, version)
    }
    if found:
        shown = [f"{one.node}: {one.rule}" for one in list(found)[:SHOWN]]
        more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise CompileError(
            f"TensorRT {next(iter(found.values()))} would refuse {'; '.join(shown)}{more}",
            next_step="change the network; correct parser_rules.json where a device takes it",
        )


def lint(model: bytes, tensorrt: str) -> list[Finding]:
    """Everything in an ONNX file that the parser of a TensorRT version would refuse."""
    proto = onnx.load_from_string(model)
    graph = onnx.shape_inference.infer_shapes(proto).graph
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    constants = {tensor.name: tensor for tensor in graph.initializer}
    types |= {name: tensor.data_type for name, tensor in constants.items()}
    found = list(_of_file(proto, tensorrt))
    for node in graph.node:
        label = f"{node.op_type} {node.name or node.output[0]}"
        found += [Finding(label, rule) for rule in _of_node(node, types, constants)]
    return found


def _of_file(proto: onnx.ModelProto, tensorrt: str) -> Iterator[Finding]:
    rules = parser_rules()
    version = ".".join(tensorrt.split(".")[:2])
    if version not in rules.opsets:
        yield Finding("the file", f"nothing is known of TensorRT {version}")
        return
    low, high = rules.opsets[version]
    for opset in proto.opset_import:
        if opset.domain not in ("", "ai.onnx"):
            yield Finding("the file", f"operators of the domain {opset.domain}")
        elif not low <= opset.version <= high:
            yield Finding("the file", f"opset {opset.version}, the parser has {low} to {high}")


def _of_node(
    node: onnx.NodeProto, types: dict[str, int], constants: dict[str, onnx.TensorProto]
) -> Iterator[str]:
    rules = parser_rules()
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    kind = node.op_type
    for place in rules.constant_inputs.get(kind, ()):
        name = node.input[place] if place < len(node.input) else ""
        if name and name not in constants:
            yield f"input {place} is not a constant"
    if kind in (QUANTISE, DEQUANTISE):
        yield from _of_scale(node, constants, types)
    elif kind == CAST:
        if _name(attributes["to"]) not in rules.cast_types:
            yield f"a cast to {_name(attributes['to'])}"
    elif kind not in rules.float_operators:
        yield "an operator that is not in the table"
    else:
        made = _name(types.get(node.output[0], 0))
        if made not in rules.float_types:
            yield f"a tensor of {made}"
    if kind == "Resize":
        mode = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
        if mode not in rules.resize_modes:
            yield f"the coordinates {mode}"
    if kind == "MaxPool":
        if len(node.output) > 1:
            yield "indices as an output"
        if any(step != 1 for step in attributes.get("dilations", [])):
            yield "dilations"


def _of_scale(
    node: onnx.NodeProto, constants: dict[str, onnx.TensorProto], types: dict[str, int]
) -> Iterator[str]:
    scale = constants.get(node.input[1])
    if scale is None:
        yield "a scale that is not constant"
        return
    values = numpy_helper.to_array(scale)
    if not (np.isfinite(values).all() and (values > 0).all()):
        yield "a scale that is not positive"
    integer = node.output[0] if node.op_type == QUANTISE else node.input[0]
    if len(node.input) > 2:
        point = constants.get(node.input[2])
        if point is None or numpy_helper.to_array(point).any():
            yield "a zero point that is not 0"
        elif numpy_helper.to_array(point).size != values.size:
            yield "zero points and scales of different number"
    if _name(types.get(integer, 0)) not in parser_rules().quantised_types:
        yield f"integers of {_name(types.get(integer, 0))}"


def _name(kind: int) -> str:
    return str(TensorProto.DataType.Name(kind))
