"""What every network here has in common: from image to residual, in float32.

A network returns what is to be added to the image (or, at 2x, to its cubic interpolation), not the
result: the addition happens outside, in float32 (scanside.runtime.intensity). INT8 then never
rounds the image itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

RESIDUAL_SCALE = 1 / 32
"""The noise to be removed is a few hundredths of the unit range: the last convolution starts there
instead of learning its way down from one."""


class Network(nn.Module):
    """Image (B, 1, H, W) in [0, 1] -> residual (B, 1, H*scale, W*scale), both float32.

    scale: 1 or 2. multiple_of: of H and W; the runtime pads.
    """

    scale: int = 1
    multiple_of: int = 1

    @property
    def receptive_field(self) -> int:
        """Radius in input pixels that an output pixel can depend on, a multiple of `multiple_of`.

        At 2x, output pixels 2j and 2j + 1 lie over input pixel j.
        """
        raise NotImplementedError

    def fixed_layers(self) -> list[nn.Module]:
        """Layers whose output channels pruning must not touch."""
        raise NotImplementedError

    def float_layers(self) -> list[nn.Module]:
        """Layers that stay float in the INT8 network: what reads the image, what gives the result.

        Everything in them counts: a block means its convolutions.
        """
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        raise NotImplementedError


def start_near_zero(last: nn.Conv2d) -> None:
    """Before training, the network shall change next to nothing: see `RESIDUAL_SCALE`."""
    with torch.no_grad():
        last.weight.mul_(RESIDUAL_SCALE)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
