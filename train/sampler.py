"""Draws the batch of a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scanside.train.entry import Array, Draw, Entry
from scanside.train.recipe import Recipe
from scanside.train.simulators import simulator_of


class Batch(NamedTuple):
    """Everything in units of the unit range. image: (B, 1, h, w) the network's input. error:
    (B, H, W) degraded base minus clean, which the residual has to cancel. weight: (B, H, W) the
    influence that the device lets it have. emphasis: (B, 1, 1), one over (this image's typical
    error times the recipe's). clean: (B, H, W), not clipped.

    For the loss "l2 and contrast" rows come in pairs: with lesions, and the same without."""

    image: Tensor
    error: Tensor
    weight: Tensor
    emphasis: Tensor
    clean: Tensor


class Sampler:
    """The same (seed, stage, step) gives the same batch, so a resumed run needs to remember
    nothing but its step."""

    def __init__(self, recipe: Recipe, entries: Sequence[Entry], files: int = 0) -> None:
        """files: how many of the last entries come from a user's files."""
        self._recipe = recipe
        self._others, self._files = entries[: len(entries) - files], entries[len(entries) - files :]
        self._simulator = simulator_of(recipe)
        self._variants = [recipe.lesions]
        if recipe.loss == "l2 and contrast":  # the same again without lesions
            self._variants.append(None)

    def batch(self, stage: int, step: int) -> Batch:
        rng = np.random.default_rng([self._recipe.seed, 3, stage, step])
        count = self._recipe.batch // len(self._variants)
        drawn = [one for _ in range(count) for one in self._draw(rng)]
        image, error, weight, clean, emphasis = (np.stack(parts) for parts in zip(*drawn))  # noqa: B905
        return Batch(
            torch.from_numpy(image)[:, None],
            torch.from_numpy(error),
            torch.from_numpy(weight),
            torch.from_numpy(emphasis),
            torch.from_numpy(clean),
        )

    def _draw(self, rng: np.random.Generator) -> Iterator[tuple[Array, ...]]:
        """A patch in all its variants: with the same noise, turned alike."""
        of_files = rng.random() < self._recipe.file_share
        entries = self._files if self._files and (of_files or not self._others) else self._others
        entry = entries[int(rng.integers(len(entries)))]
        seed = int(rng.integers(2**62))
        turns = int(rng.integers(4)) if self._simulator.turns else 0
        mirror = bool(rng.integers(2))
        for lesions in self._variants:
            again = np.random.default_rng(seed)
            draw = self._simulator.draw(entry, again, self._recipe.crop, lesions)
            images, emphasis = _in_units(entry, draw)
            turned = [np.rot90(one, turns) for one in images]
            if mirror:
                turned = [np.fliplr(one) for one in turned]
            yield *turned, emphasis


def _in_units(entry: Entry, draw: Draw) -> tuple[list[Array], Array]:
    """Image, error, weight and clean in units of the unit range, and the emphasis."""
    unit = entry.unit_range(draw.level)
    span = np.float32(unit.span)
    images = [
        unit.unit(draw.degraded),
        (draw.base - draw.clean) / span,
        unit.weight(np.clip(draw.base, *entry.limits)),
        unit.position(draw.clean),
    ]
    emphasis = np.full((1, 1), span * span / (draw.deviation * draw.typical), np.float32)
    return images, emphasis
