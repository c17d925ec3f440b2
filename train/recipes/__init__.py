"""Recipes: everything that makes a model, each in a short file that a user can copy."""

from __future__ import annotations

import importlib
import pkgutil

import msgspec

from scanside.runtime.errors import UnknownRecipeError
from scanside.runtime.manifest import Window


class LowDose(msgspec.Struct, frozen=True, kw_only=True):
    """How clean CT becomes low-dose CT (scanside.train.degradations.lowdose); ranges are drawn from evenly.

    sigma_hu: standard deviation in soft tissue. cutoff: of the reconstruction kernel, cycles per
    pixel. pixel_mm: of the phantoms; an image file brings its own. views: per half turn.
    """

    sigma_hu: tuple[float, float] = (8.0, 60.0)
    cutoff: tuple[float, float] = (0.35, 0.6)
    pixel_mm: tuple[float, float] = (0.5, 1.1)
    views: int = 180
    realisations: int = 2


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How a model is made. `steps` are optimiser steps of the float stage; the other stages are
    fractions of it, so that one number says how long training is. INT8 has to pass the gate at each
    of `heldout_sigma_hu`: it does most harm where there is least noise to remove."""

    name: str
    description: str
    task: str
    modality: tuple[str, ...]
    window: Window
    noise: LowDose
    serial: int
    version: str
    widths: tuple[int, ...] = (16, 32, 64)
    phantoms: int = 128
    phantom_side: int = 256
    heldout_phantoms: int = 8
    heldout_sigma_hu: tuple[float, ...] = (20.0, 40.0, 60.0)
    crop: int = 96
    batch: int = 8
    steps: int = 6000
    learning_rate: float = 2e-3
    mac_budget: float = 0.5
    finetune_fraction: float = 0.35
    finetune_rate: float = 1e-3
    qat_fraction: float = 0.4
    qat_rate: float = 5e-4
    seed: int = 0


def recipe_names() -> list[str]:
    """Names that `load_recipe` takes."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def load_recipe(name: str) -> Recipe:
    """The recipe of that name; UnknownRecipeError lists those that exist."""
    if name not in recipe_names():
        raise UnknownRecipeError(
            f"there is no recipe {name!r}", next_step=f"choose one of: {', '.join(recipe_names())}"
        )
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    recipe: Recipe = module.RECIPE
    return recipe
