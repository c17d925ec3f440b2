"""Our U-Net's own: what `test_networks` cannot say of every architecture."""

from __future__ import annotations

import pytest
import torch

from scanside.train.models.unet import UNet
from scanside.train.prune import macs


def test_sides_are_multiples_of_what_the_pooling_needs():
    assert [UNet((4,) * levels).multiple_of for levels in (1, 2, 3, 4)] == [1, 2, 4, 8]
    model = UNet((4, 4, 4)).eval()
    with torch.no_grad(), pytest.raises(RuntimeError):
        model(torch.rand(1, 1, 18, 20))


def test_macs_are_counted_right():
    # Two levels of 16, per full-resolution pixel: encoder 9*16 + 9*16*16; below, at a quarter:
    # two of 9*16*16 and the narrowing one; decoder 9*32*16 + 9*16*16; last 16. Batch norm is the
    # few per cent above that.
    conv = 9 * 16 * 16
    per_pixel = 9 * 16 + conv + 3 * conv / 4 + 2 * conv + conv + 16
    assert macs(UNet((16, 16)), side=64) == pytest.approx(per_pixel * 64 * 64, rel=0.03)
