"""The INT8-friendly U-Net for denoising.

Design rules (measured, see docs/quantisation.md): ReLU only, since it fuses; at least 16 channels
at full resolution; convolve before the nearest-neighbour upsampling, at a quarter of the cost; no
transposed convolution; the last convolution feeds the output directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scanside.train.models.network import Network, start_near_zero


class ConvBlock(nn.Sequential):
    """(conv 3x3, batch norm, ReLU) from each width to the next: (B, C0, H, W) -> (B, Cn, H, W)."""

    def __init__(self, *widths: int) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [
                nn.Conv2d(before, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        super().__init__(*layers)


class UNet(Network):
    """Image (B, 1, H, W) in [0, 1] -> residual (B, 1, H, W), both float32.

    widths: channels per level, from full resolution down. H and W are multiples of
    2^(levels - 1).
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        self.depth = len(widths)
        self.multiple_of = 1 << (self.depth - 1)
        self.encoders = nn.ModuleList(
            ConvBlock(before, width, width)
            for before, width in zip((1, *widths), widths, strict=False)
        )
        self.narrow = nn.ModuleList(ConvBlock(below, width) for width, below in pairwise(widths))
        self.decoders = nn.ModuleList(ConvBlock(2 * width, width, width) for width in widths[:-1])
        self.last = nn.Conv2d(widths[0], 1, 1)
        start_near_zero(self.last)

    @property
    def receptive_field(self) -> int:
        """Each level k works on pixels 2^k wide: two 3x3 convolutions on the way down, two on the
        way up and one before the upsampling into it from below; pooling and nearest upsampling look
        at most 2^k - 1 pixels further.
        """
        radius = 0
        for level in range(self.depth):
            deepest = level == self.depth - 1
            convolutions = 3 if deepest else (4 if level == 0 else 5)
            radius += convolutions * 2**level + (2**level - 1)
        step = self.multiple_of
        return -(-radius // step) * step

    def fixed_layers(self) -> list[nn.Module]:
        return [self.last]

    def float_layers(self) -> list[nn.Module]:
        return [self.encoders[0], self.last]

    def forward(self, image: Tensor) -> Tensor:
        skips = []
        x = image
        for level, encoder in enumerate(self.encoders):
            if level:
                x = F.max_pool2d(x, 2)
            x = encoder(x)
            skips.append(x)
        for level in reversed(range(self.depth - 1)):
            x = F.interpolate(self.narrow[level](x), scale_factor=2.0, mode="nearest")
            x = self.decoders[level](torch.cat([x, skips[level]], 1))
        residual: Tensor = self.last(x)
        return residual
