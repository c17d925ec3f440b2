"""MONAI's U-Net with residual units, as an option to measure ours against.

It halves with strided convolutions and doubles with transposed ones: fewer multiplications than
ours at the same widths, but TensorRT and the CPU engines have no fast INT8 transposed convolution,
so those stay float.
"""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets import UNet as Body
from torch import Tensor, nn

from scanside.train.models.network import Network, start_near_zero


class MonaiUNet(Network):
    """Image (B, 1, H, W) in [0, 1] -> residual (B, 1, H, W), both float32.

    widths: channels per level, two or more; H and W are multiples of 2^(levels - 1). units:
    convolutions of a residual unit (MONAI's num_res_units).

    Two things differ from MONAI's defaults: ReLU instead of PReLU, since it fuses, and the body
    ends in `widths[0]` channels with a 1x1 convolution of ours behind it. As it is, MONAI's last
    unit works on a single channel that has been through a ReLU.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64), units: int = 1) -> None:
        super().__init__()
        self.depth, self.units = len(widths), units
        self.multiple_of = 1 << (self.depth - 1)
        self.body = Body(
            spatial_dims=2,
            in_channels=1,
            out_channels=widths[0],
            channels=widths,
            strides=(2,) * (self.depth - 1),
            num_res_units=units,
            act="RELU",
            norm="BATCH",
        )
        self.last = nn.Conv2d(widths[0], 1, 1)
        start_near_zero(self.last)

    @property
    def receptive_field(self) -> int:
        """On the way down the first 3x3 convolution of a unit sees level k's pixels, 2^k wide, and
        the others those of level k + 1; on the way up the transposed convolution and the unit after
        it reach one pixel of level k each; at the bottom there is one more unit.
        """
        radius = self.units * self.multiple_of  # as wide as a pixel of the lowest level
        for level in range(self.depth - 1):
            radius += (3 << level) + ((self.units - 1) << (level + 1))
        return -(-radius // self.multiple_of) * self.multiple_of

    def fixed_layers(self) -> list[nn.Module]:
        return [self.last]

    def float_layers(self) -> list[nn.Module]:
        return [self.body.model[0], self.last]

    def forward(self, image: Tensor) -> Tensor:
        residual: Tensor = self.last(self.body(image))
        return residual
