"""Low-dose CT: noise fields are made once in the sinogram and scaled when they are drawn.

They are kept at one HU of standard deviation in soft tissue: to first order a lower dose gives the
same field, larger.
"""

from __future__ import annotations

import numpy as np
import torch

from scanside.runtime.manifest import Intensity
from scanside.train.data.slice import Slice, Values
from scanside.train.degradations.lowdose import AIR_HU, field_of_view, noise_at
from scanside.train.entry import Array, Draw, Entry, as_words, ends_of, facts_of
from scanside.train.recipe import Lesions, LowDose
from scanside.train.simulators.patch import cut, with_lesions

BODY_HU = -900.0
STRENGTH_HU = 1000.0
TEST_VIEWS = 360  # twice the training's: the noise under test is the finer simulation
TEST_CUTOFF = 0.5


class LowDoseSimulator:
    """Levels are standard deviations in soft tissue."""

    unit = "HU"
    turns = True

    def __init__(self, noise: LowDose, modality: str, intensity: Intensity) -> None:
        self._noise = noise
        self._modality = modality
        self._intensity = intensity
        self._typical = sum(noise.sigma_hu) / 2

    def prepare(self, piece: Slice, rng: np.random.Generator) -> Entry:
        noise = self._noise
        fields = _noise(
            piece,
            1.0,
            copies=noise.realisations,
            views=noise.views,
            cutoff=float(rng.uniform(*noise.cutoff)),
            seed=int(rng.integers(2**62)),
        )
        ends = ends_of(piece.values, facts_of(piece, self._modality), self._intensity)
        return Entry(
            clean=piece.values,
            fields=fields.astype(np.float16),
            coarse=np.empty((0, 0), np.float32),
            limits=piece.limits,
            strength=STRENGTH_HU,
            error=0.0,
            floor=BODY_HU,
            levels=np.zeros(1, np.float32),
            ends=np.array([ends], np.float32),
        )

    def draw(
        self, entry: Entry, rng: np.random.Generator, side: int, spec: Lesions | None = None
    ) -> Draw:
        window = cut(entry, rng, side)
        sigma = float(rng.uniform(*self._noise.sigma_hu))
        field = entry.fields[int(rng.integers(len(entry.fields)))][window]
        clean = with_lesions(entry, window, spec, rng)
        signed = np.float32(sigma * rng.choice([-1.0, 1.0]))
        noisy = np.clip(np.rint(clean + signed * field.astype(np.float32)), *entry.limits)
        return Draw(noisy, noisy, clean, sigma, sigma, self._typical)

    def whole(self, piece: Slice, level: float, rng: np.random.Generator) -> Values:
        seed = int(rng.integers(2**62))
        field = noise_fields(piece, level, copies=1, seed=seed)[0]
        noisy = as_words(piece.values + field, piece)
        if piece.padding is not None:  # noise must not turn tissue into padding
            low, high = piece.padding
            kept = (piece.values < low) | (piece.values > high)
            noisy[kept & (noisy >= low) & (noisy <= high)] = high + 1
        return noisy


def noise_fields(piece: Slice, sigma_hu: float, *, copies: int, seed: int) -> Array:
    """(copies, R, C) HU: noise for a test, at `sigma_hu` in soft tissue."""
    parts = [
        _noise(piece, sigma_hu, copies=1, views=TEST_VIEWS, cutoff=TEST_CUTOFF, seed=seed + index)
        for index in range(copies)
    ]
    return np.concatenate(parts)


def _noise(
    piece: Slice, sigma_hu: float, *, copies: int, views: int, cutoff: float, seed: int
) -> Array:
    """(copies, R, C) HU. The geometry is square: a slice that is not is filled up with air."""
    rows, columns = piece.values.shape
    side = max(rows, columns)
    square = np.full((side, side), AIR_HU, np.float32)
    square[:rows, :columns] = piece.values
    hu = torch.from_numpy(square).expand(copies, -1, -1)
    noise = noise_at(
        hu,
        sigma_hu,
        pixel_mm=piece.pixel_mm,
        views=views,
        cutoff=cutoff,
        generator=torch.Generator().manual_seed(seed),
        inside=field_of_view(hu, piece.padding),
    )
    fields: Array = noise.numpy()[:, :rows, :columns]
    return fields
