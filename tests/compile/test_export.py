"""What the exported file is made of, and that a wrong one is caught."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from scanside.compile.export import check_parity, export_onnx
from scanside.runtime.errors import CompileError
from scanside.train.run import Run
from scanside.train.stages import load_quantised


@pytest.fixture(scope="module")
def exported(tiny_run):
    model = load_quantised(Run(tiny_run))
    return model, export_onnx(model, 2)


def test_it_is_opset_20_and_all_sizes_are_free(exported):
    proto = onnx.load_from_string(exported[1])
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", 20)]
    assert [i.name for i in proto.graph.input] == ["image"]
    assert [o.name for o in proto.graph.output] == ["residual"]
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    assert [bool(d.dim_param) for d in dims] == [True, False, True, True]


def test_it_names_no_path_of_this_machine(exported):
    assert b".py" not in exported[1]
    assert b"site-packages" not in exported[1]


def test_every_scale_has_zero_point_zero_and_ends_are_float(exported):
    proto = onnx.load_from_string(exported[1])
    tensors = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    producers = {o: n for n in proto.graph.node for o in n.output}
    for node in proto.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert tensors[node.input[2]].dtype == np.int8
            assert not tensors[node.input[2]].any()
            assert (tensors[node.input[1]] > 0).all()
    convolutions = [n for n in proto.graph.node if n.op_type == "Conv"]
    float_ones = [n for n in convolutions if n.input[1] in tensors]
    assert float_ones == [*convolutions[:2], convolutions[-1]]
    assert producers["residual"].op_type == "Conv"


def test_inputs_of_a_concatenation_share_one_scale(exported):
    proto = onnx.load_from_string(exported[1])
    tensors = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    producers = {o: n for n in proto.graph.node for o in n.output}
    concats = [n for n in proto.graph.node if n.op_type == "Concat" and n.input[0] in producers]
    concats = [n for n in concats if producers[n.input[0]].op_type == "DequantizeLinear"]
    assert concats
    for node in concats:
        scales = {float(tensors[producers[i].input[1]]) for i in node.input}
        assert len(scales) == 1


def test_parity_holds_and_a_wrong_file_is_refused(exported):
    model, raw = exported
    assert check_parity(model, raw) < 0.1
    proto = onnx.load_from_string(raw)
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim == 4:
            tensor.CopyFrom(numpy_helper.from_array(values * np.float32(1.5), tensor.name))
    with pytest.raises(CompileError, match="disagree"):
        check_parity(model, proto.SerializeToString())


def test_a_float_model_exports_too():
    from scanside.train.models import fuse_batch_norm
    from scanside.train.models.unet import UNet

    torch.manual_seed(0)
    model = fuse_batch_norm(UNet((16, 16)))
    assert check_parity(model, export_onnx(model, 2)) < 1e-4
