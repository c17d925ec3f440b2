"""Cross-layer equalisation: every channel gets its share of the integers.

One scale quantises a whole tensor, so a channel that sees bone edges takes the codes of a channel
that sees noise. ReLU lets a positive factor pass: dividing a channel's weights by it and multiplying
what the next convolution does with that channel changes nothing in float, and brings all channels
to one range (Nagel et al., Data-Free Quantization, 2019; here the ranges are measured).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scanside.train.unet import ConvBlock, UNet

MOST = 6.0
"""No channel is raised by more: one that is nearly always zero is not worth all the codes."""


@torch.no_grad()
def equalise(model: UNet, images: Tensor) -> None:
    """Equalise, in place, the channels between the two convolutions of each block.

    model: batch norm fused. images: (B, 1, H, W) typical inputs, on which ranges are measured.
    """
    largest: dict[nn.Module, Tensor] = {}
    hooks = []
    blocks = [block for block in model.modules() if isinstance(block, ConvBlock)]
    for block in blocks:
        convolutions = [layer for layer in block if isinstance(layer, nn.Conv2d)]
        for first in convolutions[:-1]:

            def measure(layer: nn.Module, _: object, output: Tensor) -> None:
                largest[layer] = output.relu().amax((0, 2, 3))

            hooks.append(first.register_forward_hook(measure))
    model.eval()(images)
    for hook in hooks:
        hook.remove()
    for block in blocks:
        convolutions = [layer for layer in block if isinstance(layer, nn.Conv2d)]
        for first, second in zip(convolutions, convolutions[1:], strict=False):
            top = largest[first]
            factor = (top / top.max()).clamp(min=1 / MOST)
            first.weight /= factor[:, None, None, None]
            if first.bias is not None:
                first.bias /= factor
            second.weight *= factor[None, :, None, None]
