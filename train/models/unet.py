"""The INT8-friendly U-Net for denoising.

Design rules (measured, see docs/quantisation.md): ReLU only, since it fuses; at least 16 channels
at full resolution; convolve before the nearest-neighbour upsampling, at a quarter of the cost; no
transposed convolution; the last convolution feeds the output directly. The network returns the
residual, not the image: the addition happens outside, in float32 (scanside.runtime.intensity).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

RESIDUAL_SCALE = 1 / 32
"""The noise to be removed is a few hundredths of the unit range: the last convolution starts there
instead of learning its way down from one."""


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


class UNet(nn.Module):
    """Image (B, 1, H, W) in [0, 1] -> residual (B, 1, H, W), both float32.

    H and W are multiples of `multiple_of`; the runtime pads. widths: channels per level, from full
    resolution down.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        self.depth = len(widths)
        self.encoders = nn.ModuleList(
            ConvBlock(before, width, width)
            for before, width in zip((1, *widths), widths, strict=False)
        )
        self.narrow = nn.ModuleList(ConvBlock(below, width) for width, below in pairwise(widths))
        self.decoders = nn.ModuleList(ConvBlock(2 * width, width, width) for width in widths[:-1])
        self.last = nn.Conv2d(widths[0], 1, 1)
        with torch.no_grad():
            self.last.weight.mul_(RESIDUAL_SCALE)
            nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> UNet:
        """The network that a state dict belongs to, pruned or fused as it may be, with its weights.

        A convolution's shape is its weight's; one without a batch norm after it was fused.
        """
        model = cls((1,) * (1 + max(int(key.split(".")[1]) for key in state if "encoders" in key)))
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.Conv2d):
                out, into, side, _ = state[f"{name}.weight"].shape
                replacement: nn.Module = nn.Conv2d(
                    into, out, side, padding=side // 2, bias=f"{name}.bias" in state
                )
            elif isinstance(module, nn.BatchNorm2d):
                weight = state.get(f"{name}.weight")
                replacement = nn.Identity() if weight is None else nn.BatchNorm2d(len(weight))
            else:
                continue
            model.set_submodule(name, replacement)
        model.load_state_dict(state)
        return model

    @property
    def multiple_of(self) -> int:
        return 1 << (self.depth - 1)

    @property
    def receptive_field(self) -> int:
        """Radius in input pixels that an output pixel can depend on, rounded up to `multiple_of`.

        Each level k works on pixels 2^k wide: two 3x3 convolutions on the way down, two on the way
        up and one before the upsampling into it from below; pooling and nearest upsampling look at
        most 2^k - 1 pixels further.
        """
        radius = 0
        for level in range(self.depth):
            deepest = level == self.depth - 1
            convolutions = 3 if deepest else (4 if level == 0 else 5)
            radius += convolutions * 2**level + (2**level - 1)
        step = self.multiple_of
        return -(-radius // step) * step

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


def fuse_batch_norm(model: UNet) -> UNet:
    """A copy in evaluation mode whose batch norms are folded into the convolutions before them.

    Must happen before export: unfused, the quantised graph differed from eager by 0.029.
    """
    fused = copy.deepcopy(model).eval()
    for block in fused.modules():
        if not isinstance(block, nn.Sequential):
            continue
        layers = list(block)
        for index, (first, second) in enumerate(pairwise(layers)):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                block[index] = fuse_conv_bn_eval(first, second)
                block[index + 1] = nn.Identity()
    return fused
