"""Quantisation-aware training with torchao's PT2E, annotated the way TensorRT wants its Q/DQ.

int8 symmetric everywhere, zero point 0: weights per output channel in -127..127, activations per
tensor in -128..127. The first block and the last convolution stay float: what reads the image sees
bone beside noise, and one scale for both cost 0.09 of the 0.15 dB that INT8 lost, for 5% of the
MACs. The inputs of a concatenation share one scale, and max pooling and upsampling keep the scale
of their input, so that no value is requantised on its way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torchao.quantization.pt2e as pt2e
from torch import Tensor, nn
from torch.fx import GraphModule
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

from scanside.train.models.unet import UNet, fuse_batch_norm

EPS = 2**-20
FREEZE_AT = 0.5
"""Share of the steps after which the ranges stand still."""
LARGEST_BATCH = 64
LARGEST_SIDE = 8192
KEY = "quantization_annotation"
aten = torch.ops.aten

_ACTIVATION = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_symmetric,
    is_dynamic=False,
    # Not FusedMovingAvgObsFakeQuantize: it trains with an affine range (zero point -128 after a
    # ReLU), which convert then replaces by a symmetric one of twice the step (torchao 0.18).
    observer_or_fake_quant_ctr=pt2e.FakeQuantize.with_args(
        observer=pt2e.MovingAverageMinMaxObserver, eps=EPS
    ),
)
_WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    is_dynamic=False,
    observer_or_fake_quant_ctr=pt2e.FakeQuantize.with_args(
        observer=pt2e.MovingAveragePerChannelMinMaxObserver, eps=EPS, averaging_constant=1.0
    ),
)


class TensorRTQuantizer(Quantizer):  # type: ignore[misc]
    """Annotates an exported graph; the convolutions at its two ends stay float."""

    def transform_for_annotation(self, model: GraphModule) -> GraphModule:
        return model

    def validate(self, model: GraphModule) -> None:
        pass

    def annotate(self, model: GraphModule) -> GraphModule:
        calls = [node for node in model.graph.nodes if node.op == "call_function"]
        inner = [node for node in _of(calls, aten.conv2d.default) if not _at_an_end(node)]
        for node in inner:
            _mark(node, {node.args[0]: _ACTIVATION, node.args[1]: _WEIGHT})
        for node in _of(calls, aten.cat.default):
            first, *others = node.args[0]
            shared = SharedQuantizationSpec((first, node))
            _mark(node, {first: _ACTIVATION, **dict.fromkeys(others, shared)}, shared)
        for node in _of(calls, aten.max_pool2d.default, aten.upsample_nearest2d.vec):
            source = node.args[0]
            _mark(node, {source: _ACTIVATION}, SharedQuantizationSpec((source, node)))
        for node in _of(calls, aten.relu.default):
            if not all(_at_an_end(user) for user in node.users):
                _mark(node, {}, _ACTIVATION)
        return model


def _at_an_end(node: Any) -> bool:
    """Whether a node is a convolution of the block that reads the image, or gives the result."""
    if node.target is not aten.conv2d.default:
        return False
    source = node.args[0]
    while source.target in (aten.relu.default, aten.conv2d.default):
        source = source.args[0]
    return source.op == "placeholder" or any(user.op == "output" for user in node.users)


def _of(nodes: Iterable[Any], *targets: Any) -> list[Any]:
    """fx.Node.args is typed as anything that may stand in a graph: the targets say what it is."""
    return [node for node in nodes if node.target in targets]


def _mark(node: Any, inputs: dict[Any, Any], output: Any = None) -> None:
    node.meta[KEY] = QuantizationAnnotation(
        input_qspec_map=inputs, output_qspec=output, _annotated=True
    )


def dynamic_shapes(multiple_of: int) -> tuple[dict[int, Any], ...]:
    """Batch and both sides are free; the sides are multiples of `multiple_of`."""
    most = LARGEST_SIDE // multiple_of
    rows = torch.export.Dim("rows", min=2, max=most)
    columns = torch.export.Dim("columns", min=2, max=most)
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    return ({0: batch, 2: rows * multiple_of, 3: columns * multiple_of},)


def prepare(model: UNet) -> GraphModule:
    """The model with batch norm fused and fake quantisation in place, in training mode."""
    example = (torch.rand(2, 1, 64, 64),)
    exported = torch.export.export(
        fuse_batch_norm(model), example, dynamic_shapes=dynamic_shapes(model.multiple_of)
    ).module()
    prepared: GraphModule = prepare_qat_pt2e(exported, TensorRTQuantizer())
    pt2e.move_exported_model_to_train(prepared)
    return prepared


def freeze_ranges(prepared: GraphModule) -> None:
    """From here on the ranges stand still and only the weights learn."""
    prepared.apply(pt2e.disable_observer)


def convert(prepared: GraphModule) -> nn.Module:
    """The integer model: Q/DQ around integer weights; changes `prepared`."""
    pt2e.move_exported_model_to_eval(prepared)
    quantised: nn.Module = convert_pt2e(prepared)
    return quantised


class Frozen:
    """A `Stage.switch` that freezes the ranges of `prepared` half-way through `steps`."""

    def __init__(self, prepared: GraphModule, steps: int) -> None:
        self._prepared = prepared
        self._at = int(steps * FREEZE_AT)

    def __call__(self, step: int) -> None:
        if step == self._at:
            freeze_ranges(self._prepared)


def as_network(model: nn.Module) -> Any:
    """A `scanside.runtime.tiling.Network` on eager PyTorch: the reference for every engine."""

    def network(image: Any) -> Any:
        with torch.inference_mode():
            result: Tensor = model(torch.from_numpy(image))
            return result.numpy()

    return network
