"""Quantisation-aware training with torchao's PT2E, annotated the way TensorRT wants its Q/DQ.

int8 symmetric everywhere, zero point 0: weights per output channel in -127..127, activations per
tensor in -128..127. What reads the image and what gives the result stays float
(`Network.float_layers`): the first block sees bone beside noise, and one scale for both cost 0.09
of the 0.15 dB that the U-Net lost to INT8, for 5% of the MACs. The inputs of a concatenation share
one scale, and max pooling and upsampling keep the scale of their input, so that no value is
requantised on its way. A residual block's addition gets both inputs quantised; the long skip from
head to tail, an addition in the network's own forward, stays float, as does what enters a pixel
shuffle and every transposed convolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
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

from scanside.train.models import Network, fuse_batch_norm

EPS = 2**-20
FREEZE_AT = 0.5
"""Share of the steps after which the ranges stand still."""
LARGEST_BATCH = 64
LARGEST_SIDE = 8192
KEY = "quantization_annotation"
aten = torch.ops.aten
_KEEP_SCALE = (aten.max_pool2d.default, aten.upsample_nearest2d.vec)
_ADDITIONS = (aten.add.Tensor, aten.add_.Tensor)

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
    """Annotates an exported graph. stays_float: paths of modules to leave alone."""

    def __init__(self, stays_float: Set[str]) -> None:
        super().__init__()
        self._stays_float = stays_float

    def transform_for_annotation(self, model: GraphModule) -> GraphModule:
        return model

    def validate(self, model: GraphModule) -> None:
        pass

    def annotate(self, model: GraphModule) -> GraphModule:
        calls = [node for node in model.graph.nodes if node.op == "call_function"]
        wanted = [node for node in calls if self._reads_codes(node)]
        for node in _of(wanted, aten.conv2d.default):
            _mark(node, {node.args[0]: _ACTIVATION, node.args[1]: _WEIGHT})
        for node in _of(wanted, aten.cat.default):
            first, *others = node.args[0]
            shared = SharedQuantizationSpec((first, node))
            _mark(node, {first: _ACTIVATION, **dict.fromkeys(others, shared)}, shared)
        for node in _of(wanted, *_KEEP_SCALE):
            source = node.args[0]
            _mark(node, {source: _ACTIVATION}, SharedQuantizationSpec((source, node)))
        for node in _of(wanted, *_ADDITIONS):
            _mark(node, dict.fromkeys(node.args, _ACTIVATION))
        for node in _of(calls, aten.relu.default, aten.prelu.default):
            # A reader that stays float gets the value before it is rounded.
            if all(self._reads_codes(user) for user in node.users):
                _mark(node, {}, _ACTIVATION)
        return model

    def _reads_codes(self, node: Any) -> bool:
        """Whether a node's input is quantised, because it computes on codes or hands them on."""
        if node.target is aten.conv2d.default:
            return module_path(node) not in self._stays_float
        if node.target in _ADDITIONS:  # one in the network's own forward is the long skip
            return module_path(node) not in ("", *self._stays_float)
        hands_on = node.target in (aten.cat.default, *_KEEP_SCALE)
        return hands_on and any(self._reads_codes(user) for user in node.users)


def module_path(node: Any) -> str:
    """Path of the module whose forward made a graph's node; "" for the network itself."""
    path, _ = list(node.meta["nn_module_stack"].values())[-1]
    return str(path)


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
    if multiple_of > 1:  # export knows no dimension times one
        rows, columns = rows * multiple_of, columns * multiple_of
    return ({0: batch, 2: rows, 3: columns},)


def prepare(model: Network) -> GraphModule:
    """The model with batch norm fused and fake quantisation in place, in training mode."""
    example = (torch.rand(2, 1, 64, 64),)
    fused = fuse_batch_norm(model)
    exported = torch.export.export(
        fused, example, dynamic_shapes=dynamic_shapes(model.multiple_of)
    ).module()
    prepared: GraphModule = prepare_qat_pt2e(exported, TensorRTQuantizer(_float_paths(fused)))
    pt2e.move_exported_model_to_train(prepared)
    return prepared


def _float_paths(model: Network) -> Set[str]:
    stays = {part for layer in model.float_layers() for part in layer.modules()}
    return {name for name, part in model.named_modules() if part in stays}


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
