"""The discriminator of the SRGAN paper: does a patch look like a sharp image, or like a made one?

C. Ledig et al., CVPR 2017, figure 4: eight 3x3 convolutions from 64 to 512 channels, every other
one with stride 2, LeakyReLU 0.2, batch norm in all but the first, then two dense layers. Averaging
over all positions before these lets patches have any size (the paper flattens a fixed one); the
sigmoid belongs to the loss (binary cross entropy with logits).
"""

from __future__ import annotations

from torch import Tensor, nn

SLOPE = 0.2
LAYERS = ((1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2))
"""(width over the first layer's, stride) of the layers after the first."""
DENSE = 16
"""Width of the dense layer over the first convolution's: 1024 in the paper."""


class Discriminator(nn.Module):
    """Image (B, 1, H, W) float32, any H and W -> logits (B, 1), high for a real one.

    width: channels of the first layer.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), nn.LeakyReLU(SLOPE)]
        before = width
        for factor, stride in LAYERS:
            after = factor * width
            layers += [
                nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(SLOPE),
            ]
            before = after
        self.features = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(before, DENSE * width),
            nn.LeakyReLU(SLOPE),
            nn.Linear(DENSE * width, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.dense(self.features(image))
        return logits
