"""The generator of the SRGAN paper, for 2x.

C. Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial
Network", CVPR 2017, figure 4: a 9x9 head with PReLU, residual blocks (conv, batch norm, PReLU,
conv, batch norm, addition), a convolution with batch norm and the long skip, an upsampling block
(conv, pixel shuffle 2, PReLU), a 9x9 tail. The paper stacks two upsampling blocks for 4x; 2x takes
one. Two things are ours: the result is a residual to the cubic interpolation, and a PReLU has one
slope for all channels, so that channels can be pruned.
"""

from __future__ import annotations

from torch import Tensor, nn

from scanside.train.models.network import Network, start_near_zero


def _activation(prelu: bool) -> nn.Module:
    return nn.PReLU() if prelu else nn.ReLU()


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, bias=False)


class ResidualBlock(nn.Module):
    """(B, C, H, W) -> the same: conv, batch norm, activation, conv, batch norm, plus the input."""

    def __init__(self, width: int, *, prelu: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv(width, width),
            nn.BatchNorm2d(width),
            _activation(prelu),
            _conv(width, width),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = x + self.layers(x)
        return changed


class SRGAN(Network):
    """Image (B, 1, H, W) in [0, 1] -> residual (B, 1, 2H, 2W), both float32.

    prelu: as in the paper; False takes ReLU, which INT8 engines fuse.
    """

    scale = 2

    def __init__(self, width: int = 64, blocks: int = 16, *, prelu: bool = True) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(1, width, 9, padding=4), _activation(prelu))
        self.blocks = nn.Sequential(*(ResidualBlock(width, prelu=prelu) for _ in range(blocks)))
        self.merge = nn.Sequential(_conv(width, width), nn.BatchNorm2d(width))
        self.upsample = nn.Sequential(
            nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), _activation(prelu)
        )
        self.tail = nn.Conv2d(width, 1, 9, padding=4)
        start_near_zero(self.tail)

    @property
    def receptive_field(self) -> int:
        """The head reaches 4, every 3x3 convolution 1, the tail 4 fine pixels: 2 coarse ones."""
        return 4 + 2 * len(self.blocks) + 1 + 1 + 2

    def fixed_layers(self) -> list[nn.Module]:
        # Four channels of what feeds the pixel shuffle become one: torch-pruning takes the shuffle
        # for elementwise and would drop them one by one.
        return [self.upsample[0], self.tail]

    def float_layers(self) -> list[nn.Module]:
        return [self.head, self.tail]

    def forward(self, image: Tensor) -> Tensor:
        x = self.head(image)
        x = x + self.merge(self.blocks(x))
        residual: Tensor = self.tail(self.upsample(x))
        return residual
