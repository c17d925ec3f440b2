"""The bank: clean slices with realisations of their own noise, made once and drawn from.

Noise is stored at one HU of standard deviation in soft tissue and scaled when it is drawn: to first
order a lower dose gives the same field, larger.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scanside.runtime.errors import RunFolderError
from scanside.runtime.files import replace_file
from scanside.runtime.intensity import window_range
from scanside.runtime.progress import task
from scanside.train.degradations.lowdose import field_of_view, noise_at
from scanside.train.images import Slice
from scanside.train.phantoms.ct import phantom
from scanside.train.recipes import Recipe

BODY_HU = -900.0
BODY_FRACTION = 0.1
TRIES = 8


class Entry(NamedTuple):
    """clean: (n, n) int16 HU. noise: (K, n, n) float16, in units of soft tissue's deviation."""

    clean: npt.NDArray[np.int16]
    noise: npt.NDArray[np.float16]


class Batch(NamedTuple):
    """image: (B, 1, s, s) the network's input. noise: (B, s, s) HU, what it must take away.
    weight: (B, s, s) the influence that the device lets it have. sigma: (B, 1, 1) HU."""

    image: Tensor
    noise: Tensor
    weight: Tensor
    sigma: Tensor


def phantom_slices(recipe: Recipe, count: int, stream: int) -> list[Slice]:
    """`count` phantoms; `stream` keeps training and held-out phantoms apart."""
    rng = np.random.default_rng([recipe.seed, stream])
    low, high = recipe.noise.pixel_mm
    slices = []
    with task("Painting phantoms", count) as progress:
        for _ in range(count):
            hu = phantom(recipe.phantom_side, rng).round().astype(np.int16)
            slices.append(Slice(hu, rng.uniform(low, high)))
            progress.advance()
    return slices


def make_bank(recipe: Recipe, slices: Sequence[Slice]) -> list[Entry]:
    """An entry for each slice, with `recipe.noise.realisations` noise fields each."""
    rng = np.random.default_rng([recipe.seed, 2])
    generator = torch.Generator().manual_seed(recipe.seed)
    entries = []
    with task("Simulating low dose", len(slices)) as progress:
        for piece in slices:
            hu = torch.from_numpy(piece.hu.astype(np.float32))[None]
            copies = hu.expand(recipe.noise.realisations, -1, -1)
            noise = noise_at(
                copies,
                1.0,
                pixel_mm=piece.pixel_mm,
                views=recipe.noise.views,
                cutoff=float(rng.uniform(*recipe.noise.cutoff)),
                generator=generator,
                inside=field_of_view(copies, piece.padding),
            )
            entries.append(Entry(piece.hu, noise.numpy().astype(np.float16)))
            progress.advance()
    return entries


def save_bank(path: Path, entries: Sequence[Entry]) -> None:
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for index, entry in enumerate(entries):
        arrays[f"clean_{index:05d}"] = entry.clean
        arrays[f"noise_{index:05d}"] = entry.noise
    with replace_file(path) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def load_bank(path: Path) -> list[Entry]:
    """What `save_bank` wrote. Raises RunFolderError when it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = sorted(name for name in arrays.files if name.startswith("clean_"))
            return [Entry(arrays[name], arrays[f"noise_{name[6:]}"]) for name in names]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RunFolderError(
            f"{path} is missing or damaged", next_step="remove it, or train into a new folder"
        ) from error


def digest(slices: Sequence[Slice]) -> str:
    """sha256 of slices, geometry and padding: which images a model saw, naming none of them."""
    total = hashlib.sha256()
    for one in slices:
        total.update(repr((one.hu.shape, one.pixel_mm, one.padding)).encode())
        total.update(np.ascontiguousarray(one.hu).tobytes())
    return total.hexdigest()


class Sampler:
    """Draws the batch of a step. The same (seed, stage, step) gives the same batch, so a resumed
    run needs to remember nothing but its step."""

    def __init__(self, recipe: Recipe, entries: Sequence[Entry]) -> None:
        self._recipe = recipe
        self._entries = entries
        self._range = window_range(recipe.window)

    @property
    def span(self) -> float:
        """HU that one unit of the network's output stands for."""
        return self._range.span

    def batch(self, stage: int, step: int) -> Batch:
        recipe = self._recipe
        rng = np.random.default_rng([recipe.seed, 3, stage, step])
        cleans, noises = zip(*(self._crop(rng) for _ in range(recipe.batch)), strict=True)
        sigma = rng.uniform(*recipe.noise.sigma_hu, (recipe.batch, 1, 1)).astype(np.float32)
        noise = np.stack(noises) * sigma
        noisy = np.stack(cleans) + noise
        return Batch(
            torch.from_numpy(self._range.unit(noisy))[:, None],
            torch.from_numpy(noise),
            torch.from_numpy(self._range.weight(noisy)),
            torch.from_numpy(sigma),
        )

    def _crop(
        self, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """A flipped, turned crop of one slice and of its noise. Mostly of the body: a slice holds
        more air than there is to learn from it."""
        entry = self._entries[int(rng.integers(len(self._entries)))]
        side = self._recipe.crop
        rows, columns = entry.clean.shape
        for _ in range(TRIES):
            top = int(rng.integers(rows - side + 1))
            left = int(rng.integers(columns - side + 1))
            window = np.s_[top : top + side, left : left + side]
            if (entry.clean[window] > BODY_HU).mean() > BODY_FRACTION:
                break
        clean = entry.clean[window].astype(np.float32)
        noise = entry.noise[int(rng.integers(len(entry.noise)))][window].astype(np.float32)
        noise *= rng.choice([-1.0, 1.0])
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        clean, noise = np.rot90(clean, turns), np.rot90(noise, turns)
        return (np.fliplr(clean), np.fliplr(noise)) if mirror else (clean, noise)
