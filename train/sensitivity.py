"""Which layer INT8 hurts: the quality with one convolution quantised and all others in float.

One alone, rather than all but one: in a network where much is rounded the errors of one layer hide
behind those of the others, and a layer left float improves what it was not the cause of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import FakeQuantize

from scanside.train.qat import aten, module_path

Measure = Callable[[nn.Module], float]


class LayerSensitivity(NamedTuple):
    """One convolution alone in INT8.

    name: its module path. quality: what `measure` says then. drop: how much lower that is than with
    nothing quantised.
    """

    name: str
    quality: float
    drop: float


def layer_sensitivity(prepared: GraphModule, measure: Measure) -> list[LayerSensitivity]:
    """Measures every quantised convolution of a prepared network by itself, in order of execution.

    prepared: from `scanside.train.qat.prepare`, its ranges known: trained, or, for what rounding
    without training would do, shown a few batches with `torchao.quantization.pt2e`'s
    `disable_fake_quant` applied (or a bad layer spoils the ranges of those after it). It is left as
    it was found. measure: quality of a network, the higher the better; called once for float and
    once for each layer.

    A layer is quantised in its weights and its input. Whoever else reads that input reads it
    rounded too: in a U-Net the skip beside the pooling.
    """
    found = []
    with _nothing_quantised(prepared), torch.no_grad():
        in_float = measure(prepared)
        for name, rounding in _quantised(prepared):
            for quantiser in rounding:
                quantiser.enable_fake_quant()
            quality = measure(prepared)
            found.append(LayerSensitivity(name, quality, in_float - quality))
            for quantiser in rounding:
                quantiser.disable_fake_quant()
    return found


def _quantised(prepared: GraphModule) -> Iterator[tuple[str, list[FakeQuantize]]]:
    """Module path of every quantised convolution, and what rounds its input and its weights."""
    for node in prepared.graph.nodes:
        if node.target is not aten.conv2d.default:
            continue
        sources = [source for source in node.args[:2] if isinstance(source, Node)]
        parts = [
            prepared.get_submodule(str(source.target))
            for source in sources
            if source.op == "call_module"
        ]
        rounding = [part for part in parts if isinstance(part, FakeQuantize)]
        if rounding:
            yield module_path(node), rounding


@contextmanager
def _nothing_quantised(prepared: GraphModule) -> Iterator[None]:
    """Ranges stand still and nothing is rounded within; afterwards all is as it was."""
    quantisers = [part for part in prepared.modules() if isinstance(part, FakeQuantize)]
    before = [
        (part.fake_quant_enabled.clone(), part.observer_enabled.clone()) for part in quantisers
    ]
    for part in quantisers:
        part.disable_fake_quant()
        part.disable_observer()
    try:
        yield
    finally:
        for part, (rounds, observes) in zip(quantisers, before, strict=True):
            part.fake_quant_enabled.copy_(rounds)
            part.observer_enabled.copy_(observes)
