"""Fake quantisation says in training what the integers do afterwards."""

import pytest
import torch
import torchao.quantization.pt2e as pt2e

from scanside.train.models.unet import UNet, fuse_batch_norm
from scanside.train.qat import convert, freeze_ranges, prepare
from tiny import trained_looking


@pytest.fixture(scope="module")
def model() -> UNet:
    return fuse_batch_norm(trained_looking((16, 32)))


def calibrated(model: UNet):
    prepared = prepare(model)
    torch.manual_seed(1)
    for _ in range(4):
        prepared(torch.rand(2, 1, 64, 64))
    freeze_ranges(prepared)
    pt2e.move_exported_model_to_eval(prepared)
    return prepared


def test_what_is_trained_is_what_is_converted(model):
    """torchao's fused fake quantiser trains on one grid and converts to another: never again."""
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


def test_activations_are_symmetric_and_ends_are_float(model):
    prepared = calibrated(model)
    quantised = convert(prepared)
    text = quantised.code
    # 2 levels: 8 convolutions, the first block and the last one float.
    convolutions = [n for n in quantised.graph.nodes if "conv2d" in str(n.target)]
    dequantised = [n for n in convolutions if "dequantize" in str(n.args[1].target)]
    assert len(convolutions) == 8
    assert dequantised == convolutions[2:-1]
    for line in text.splitlines():
        if "quantize_per_tensor.default(" in line:
            arguments = line.split("quantize_per_tensor.default(")[1].split(")")[0].split(", ")
            assert arguments[2:5] == ["0", "-128", "127"], line
