"""The sets that models are judged on: trained and selected on by nobody."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scanside.runtime.errors import NoImagesError
from scanside.train.bank import phantom_slices
from scanside.train.data.folders import read_folders
from scanside.train.data.slice import Slice
from scanside.train.gather import HELD_OUT
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
PHANTOMS, FILES = "phantoms", "files"
UNTRAINED = 20261123
"""Seed of the phantoms: no recipe's."""


class JudgedSet(NamedTuple):
    """words: what the images are and how they were degraded. slices: clean, one for each image."""

    name: str
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
    if folders:
        return _of_folders(recipe, levels, FILES, folders, most)
    modality = recipe.modality[0]
    if modality not in REAL:
        raise NoImagesError(
            f"there is no held-out real series of {modality}",
            next_step="name a folder of clean images with --data",
        )
    return _real(recipe, levels, REAL[modality][0], most)


def default_names(recipe: Recipe) -> tuple[list[str], list[str]]:
    """The held-out real series where it is here, and phantoms, for `find_sets`; and what is left
    out, and why."""
    real = REAL.get(recipe.modality[0])
    if real is None:
        return [PHANTOMS], [f"there is no held-out real series of {recipe.modality[0]}"]
    if not _folder(real[0]).is_dir():
        return [PHANTOMS], [f"the real series {real[0]} is not here: see SCANSIDE_DATA"]
    return [real[0], PHANTOMS], []


def find_sets(
    recipe: Recipe,
    levels: Sequence[float],
    names: Sequence[str],
    folders: Sequence[Path] = (),
    most: int = 0,
) -> list[JudgedSet]:
    """names: `PHANTOMS`, or folders in SCANSIDE_DATA. folders: the user's own images, a set called
    `FILES`, the first. most: of each set, see `find_set`. Raises NoImagesError for a set that
    holds nothing.
    """
    sets = [_of_folders(recipe, levels, FILES, folders, most)] if folders else []
    for name in dict.fromkeys(names):
        one = _phantoms if name == PHANTOMS else _real
        sets.append(one(recipe, levels, name, most))
    return sets


def _phantoms(recipe: Recipe, levels: Sequence[float], name: str, most: int) -> JudgedSet:
    """As training paints those that it holds out, from a seed that it did not have."""
    seed = UNTRAINED + (recipe.seed == UNTRAINED)
    slices = phantom_slices(recipe.changed(seed=seed), recipe.heldout_phantoms, HELD_OUT)
    taken = _spread(slices, most)
    return _degraded(recipe, levels, name, f"{len(taken)} phantoms of seed {seed}", taken)


def _real(recipe: Recipe, levels: Sequence[float], name: str, most: int) -> JudgedSet:
    folder = _folder(name)
    if not folder.is_dir():
        raise NoImagesError(
            f"the series {name} is not here",
            next_step="set SCANSIDE_DATA to the folder that holds it, or give --data",
        )
    return _of_folders(recipe, levels, name, [folder], most)


def _folder(name: str) -> Path:
    return Path(os.environ.get("SCANSIDE_DATA", "../shared/data")) / name


def _of_folders(
    recipe: Recipe, levels: Sequence[float], name: str, folders: Sequence[Path], most: int
) -> JudgedSet:
    slices = _spread(read_folders(folders, recipe.modality, recipe.crop).slices, most)
    patients = len({one.patient for one in slices})
    what = dict(REAL.values()).get(name, "images from files" if name == FILES else name)
    words = f"{len(slices)} slices of {patients} patient{'s' * (patients > 1)}, {what}"
    return _degraded(recipe, levels, name, words, slices)


def _degraded(
    recipe: Recipe, levels: Sequence[float], name: str, words: str, slices: list[Slice]
) -> JudgedSet:
    kind = type(recipe.degradation).__struct_config__.tag
    return JudgedSet(
        name,
        f"{words}; simulated {kind}, seed {SEED}",
        simulator_of(recipe).unit,
        range_words(recipe.modality[0]),
        slices,
        make_cases(recipe, slices, levels, SEED),
    )


def _spread(slices: list[Slice], most: int) -> list[Slice]:
    """At most so many of them, evenly spread; 0 for all."""
    if not 0 < most < len(slices):
        return slices
    return [slices[round(i * (len(slices) - 1) / max(most - 1, 1))] for i in range(most)]
