"""A recipe small enough for a test, and the run and bundle that come of it."""

from __future__ import annotations

from scanside.runtime.manifest import Window
from scanside.train.recipes import LowDose, Recipe

TINY = Recipe(
    name="tiny-ct",
    description="a U-Net for the tests",
    task="denoise",
    modality=("CT",),
    window=Window(lower=-1000.0, upper=1000.0, margin=320.0),
    noise=LowDose(sigma_hu=(30.0, 60.0), views=60, realisations=1),
    serial=1,
    version="0.0.1",
    widths=(16, 16),
    phantoms=10,
    phantom_side=128,
    heldout_phantoms=3,
    crop=64,
    batch=4,
    steps=120,
    mac_budget=0.7,
    qat_fraction=0.4,
)
