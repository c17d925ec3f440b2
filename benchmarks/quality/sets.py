"""The held-out real series that models are judged on: trained and selected on by nobody."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scanside.runtime.errors import NoImagesError
from scanside.train.data.folders import read_folders
from scanside.train.data.slice import Slice
from scanside.train.heldout import make_cases
from scanside.train.metrics.case import Case, range_words
from scanside.train.recipe import Recipe
from scanside.train.simulators import simulator_of

SEED = 40
REAL = {
    "CT": ("ct_ge_hispeed_dual", "real head CT, GE HiSpeed Dual"),
    "MR": ("mr_siemens_prisma", "real head MR, T1 FLASH, Siemens Prisma"),
}
"""Modality -> folder in SCANSIDE_DATA, what it is."""


class JudgedSet(NamedTuple):
    """words: what the images are and how they were degraded. slices: clean, one for each image."""

    words: str
    unit: str
    data_range: str
    slices: list[Slice]
    cases: list[Case]

    def at(self, level: float) -> list[Case]:
        return [case for case in self.cases if case.level == level]


def find_set(
    recipe: Recipe, levels: Sequence[float], folders: Sequence[Path] = (), most: int = 0
) -> JudgedSet:
    """The held-out series for a recipe's modality, or the user's own folders, degraded to `levels`.

    most: take so many images, evenly spread, 0 for all. Raises NoImagesError where there are none.
    """
    modality = recipe.modality[0]
    words = "images from files"
    if not folders:
        if modality not in REAL:
            raise NoImagesError(
                f"there is no held-out real series of {modality}",
                next_step="name a folder of clean images with --data",
            )
        name, words = REAL[modality]
        folder = Path(os.environ.get("SCANSIDE_DATA", "../shared/data")) / name
        if not folder.is_dir():
            raise NoImagesError(
                f"the held-out series {name} is not here",
                next_step="set SCANSIDE_DATA to the folder that holds it, or give --data",
            )
        folders = [folder]
    slices = read_folders(folders, recipe.modality, recipe.crop).slices
    if 0 < most < len(slices):
        slices = [slices[round(i * (len(slices) - 1) / max(most - 1, 1))] for i in range(most)]
    unit = simulator_of(recipe).unit
    kind = type(recipe.degradation).__struct_config__.tag
    patients = len({one.patient for one in slices})
    return JudgedSet(
        f"{len(slices)} slices of {patients} patient{'s' * (patients > 1)}, {words}; "
        f"simulated {kind}, seed {SEED}",
        unit,
        range_words(modality),
        slices,
        make_cases(recipe, slices, levels, SEED),
    )
