"""Fake quantisation says in training what the integers do afterwards."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
import torchao.quantization.pt2e as pt2e
from torch import nn

from scanside.compile.export import check_parity, export_onnx
from scanside.compile.twin import cpu_twin
from scanside.runtime.engines import onnxruntime
from scanside.train.models import fuse_batch_norm
from scanside.train.qat import as_network, convert, freeze_ranges, prepare
from scanside.train.recipe import MonaiUNetShape, SRGANShape, SRNetShape, UNetShape

pytestmark = pytest.mark.usefixtures("one_thread")
UNET = UNetShape(widths=(16, 32))
OTHERS = {
    "monai": MonaiUNetShape(widths=(8, 16), units=1),
    "srnet": SRNetShape(width=16, blocks=2),
    "srgan": SRGANShape(width=16, blocks=1),
    "srgan relu": SRGANShape(width=16, blocks=1, prelu=False),
}


def calibrated(model):
    prepared = prepare(model)
    torch.manual_seed(1)
    for _ in range(4):
        prepared(torch.rand(2, 1, 64, 64))
    freeze_ranges(prepared)
    pt2e.move_exported_model_to_eval(prepared)
    return prepared


def test_what_is_trained_is_what_is_converted(looks_trained):
    """torchao's fused fake quantiser trains on one grid and converts to another: never again."""
    model = looks_trained(UNET)
    prepared = calibrated(model)
    image = torch.rand(1, 1, 64, 96)
    with torch.no_grad():
        trained = prepared(image)
        exact = model(image)
        integers = convert(prepared)(image)
    error = (trained - exact).abs().mean()
    assert error > 0
    # Fake and real rounding may fall on either side of a tie; a wrong grid is off everywhere.
    assert (integers - trained).abs().mean() < 0.1 * error


def test_activations_are_symmetric_and_ends_are_float(looks_trained):
    quantised = convert(calibrated(looks_trained(UNET)))
    # 2 levels: 8 convolutions, the first block and the last one float.
    convolutions = [n for n in quantised.graph.nodes if "conv2d" in str(n.target)]
    dequantised = [n for n in convolutions if "dequantize" in str(n.args[1].target)]
    assert len(convolutions) == 8
    assert dequantised == convolutions[2:-1]
    for line in quantised.code.splitlines():
        if "quantize_per_tensor.default(" in line:
            arguments = line.split("quantize_per_tensor.default(")[1].split(")")[0].split(", ")
            assert arguments[2:5] == ["0", "-128", "127"], line


def quantised_values(prepared):
    """Operators whose result is rounded, in order of execution; weights are no operators."""
    return [
        str(node.args[0].target).removeprefix("aten.").split(".")[0]
        for node in prepared.graph.nodes
        if "activation_post_process" in str(node.target)
        and node.args[0].op == "call_function"
        and "activation_post_process" not in str(node.args[0].target)
    ]


def test_the_unet_rounds_what_it_always_did(looks_trained):
    """Two levels: after the first block, the pool, both layers below, the narrowing one, the
    upsampling, the concatenation and the first layer of the decoder."""
    assert quantised_values(prepare(looks_trained(UNET))) == [
        "relu",
        "max_pool2d",
        "relu",
        "relu",
        "relu",
        "upsample_nearest2d",
        "cat",
        "relu",
    ]


@pytest.mark.parametrize(
    ("name", "rounded"),
    [
        # What the lower unit reads, its two summands, what the upper unit reads, its two; of the
        # head's unit nothing, nor of the concatenation, which a float transposed convolution reads.
        ("monai", ["add", "conv2d", "relu", "relu", "conv2d"]),
        ("srnet", ["relu"]),  # between the body's layers, of which the first is float
        # The head for the block, within the block, both summands, their sum, the long skip's sum
        # for the upsampling convolution: not what enters the long skip or the pixel shuffle.
        ("srgan", ["prelu", "prelu", "conv2d", "add", "add"]),
        ("srgan relu", ["relu", "relu", "conv2d", "add", "add"]),
    ],
)
def test_what_is_rounded(name, rounded, looks_trained):
    prepared = prepare(looks_trained(OTHERS[name]))
    assert quantised_values(prepared) == rounded


FLOAT = {
    "monai": {
        "body.model.0.conv.unit0.conv",
        "body.model.0.residual",
        "body.model.2.0.conv",  # transposed
        "last",
    },
    "srnet": {"head.0", "body.0.0", "last"},
    "srgan": {"head.0", "tail"},
}


@pytest.fixture(scope="module")
def exported(looks_trained):
    """Of each network: the folded model, the integer one, and both as ONNX."""
    made = {}
    for name in FLOAT:
        model = looks_trained(OTHERS[name])
        fused, integer = fuse_batch_norm(model), convert(calibrated(model))
        step = model.multiple_of
        made[name] = fused, integer, export_onnx(fused, step), export_onnx(integer, step)
    return made


@pytest.mark.parametrize("name", FLOAT)
def test_all_convolutions_but_these_are_int8(name, exported):
    fused, integer, _, _ = exported[name]
    convolutions = (nn.Conv2d, nn.ConvTranspose2d)
    every = {path for path, part in fused.named_modules() if isinstance(part, convolutions)}
    int8 = {
        list(node.meta["nn_module_stack"].values())[-1][0]
        for node in integer.graph.nodes
        if str(node.target).startswith("aten.conv") and "dequantize" in str(node.args[1].target)
    }
    assert every - int8 == FLOAT[name]


@pytest.mark.parametrize("name", FLOAT)
def test_every_network_exports_float_and_int8_at_free_sizes(name, exported):
    fused, integer, float_file, int8_file = exported[name]
    assert check_parity(fused, float_file) < 1e-4
    assert check_parity(integer, int8_file) < 0.1
    kinds = [node.op_type for node in onnx.load_from_string(int8_file).graph.node]
    if fused.scale == 2:
        shuffle = kinds.index("DepthToSpace")
        assert kinds[shuffle - 1] == "Conv"
        assert "QuantizeLinear" not in kinds[shuffle:]


@pytest.mark.parametrize("name", FLOAT)
def test_int8_and_its_cpu_twin_stay_near_the_float_network(name, exported):
    fused, integer, _, int8_file = exported[name]
    image = np.random.default_rng(0).random((1, 1, 32, 48), np.float32)
    expected = as_network(fused)(image)
    size = np.sqrt(np.square(expected).mean())
    for network in (
        as_network(integer),
        onnxruntime.load_network(cpu_twin(int8_file), torch.get_num_threads()),
    ):
        found = network(image)
        assert 0 < np.sqrt(np.square(found - expected).mean()) < 0.1 * size
