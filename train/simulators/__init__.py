"""Simulators: a recipe's degradation applied to training patches and to whole held-out images.

`scanside.train.degradations` has the physics; here it meets images, levels and the bank.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from scanside.train.data.slice import Slice, Values
from scanside.train.entry import Draw, Entry
from scanside.train.recipe import (
    KSpaceTruncation,
    Lesions,
    LowDose,
    PhotonNoise,
    Recipe,
    Rician,
)


class Simulator(Protocol):
    """unit: of its levels. turns: whether an image may be turned by quarters (ultrasound has an up
    and a down)."""

    unit: str
    turns: bool

    def prepare(self, piece: Slice, rng: np.random.Generator) -> Entry:
        """All that is slow, once for each image."""
        ...

    def draw(
        self, entry: Entry, rng: np.random.Generator, side: int, spec: Lesions | None = None
    ) -> Draw:
        """A patch of side x side (of the target), freshly degraded at a level drawn at random,
        with lesions put into it before."""
        ...

    def whole(self, piece: Slice, level: float, rng: np.random.Generator) -> Values:
        """The whole image degraded to a level, as a scanner would store it."""
        ...


def simulator_of(recipe: Recipe) -> Simulator:
    """The simulator of a recipe's degradation."""
    modality, intensity = recipe.modality[0], recipe.intensity
    degradation = recipe.degradation
    if isinstance(degradation, LowDose):
        from scanside.train.simulators.ct import LowDoseSimulator

        return LowDoseSimulator(degradation, modality, intensity)
    if isinstance(degradation, KSpaceTruncation):
        from scanside.train.simulators.kspace import KSpaceSimulator

        return KSpaceSimulator(degradation, modality, intensity)
    from scanside.train.simulators import pixelwise

    if isinstance(degradation, Rician):
        return pixelwise.RicianSimulator(degradation, modality, intensity)
    if isinstance(degradation, PhotonNoise):
        return pixelwise.PhotonSimulator(degradation, modality, intensity)
    return pixelwise.SpeckleSimulator(degradation, modality, intensity)
