"""Recipes small enough for a test, and a network that looks trained."""

from __future__ import annotations

import torch

from scanside.runtime.manifest import Window
from scanside.train.models.unet import UNet
from scanside.train.recipe import LowDose, Recipe, UNetShape

TINY = Recipe(
    name="tiny-ct",
    description="a U-Net for the tests",
    task="denoise",
    modality=("CT",),
    phantom="ct",
    intensity=Window(lower=-1000.0, upper=1000.0, margin=320.0),
    degradation=LowDose(sigma_hu=(30.0, 60.0), views=60, realisations=1),
    serial=1,
    version="0.0.1",
    network=UNetShape(widths=(16, 16)),
    phantoms=10,
    phantom_side=128,
    heldout_phantoms=3,
    heldout_levels=(40.0, 60.0),
    crop=64,
    batch=4,
    steps=120,
    least_speedup=0.0,  # of no interest here, and a test times nothing
    mac_budget=0.7,
    qat_fraction=0.4,
)


def trained_looking(widths: tuple[int, ...], seed: int = 0) -> UNet:
    """Random weights and running statistics, so that folding has something to fold."""
    torch.manual_seed(seed)
    model = UNet(widths)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    return model.eval()
