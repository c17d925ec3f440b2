"""Half the resolution by k-space truncation: pairs of a coarse image and the fine one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scanside.runtime.cubic import REACH, double, fill
from scanside.runtime.manifest import Intensity
from scanside.train.data.slice import Slice, Values
from scanside.train.degradations.kspace import truncate
from scanside.train.entry import Array, Draw, Entry, as_words, ends_of, facts_of
from scanside.train.metrics.case import PERCENTILE
from scanside.train.recipe import KSpaceTruncation, Lesions
from scanside.train.simulators.ct import STRENGTH_HU
from scanside.train.simulators.patch import cut, floor_of


class KSpaceSimulator:
    """Levels are the coarse image's noise, in percent of its 99th percentile (CT: of 1000 HU)."""

    unit = "%"
    turns = True

    def __init__(self, noise: KSpaceTruncation, modality: str, intensity: Intensity) -> None:
        self._percent = noise.percent
        self._modality = modality
        self._intensity = intensity

    def prepare(self, piece: Slice, rng: np.random.Generator) -> Entry:
        padded = _even(piece)
        fine = _filled(padded)
        coarse = self._coarse(fine)
        error = double(coarse) - fine.values
        words = _padded(as_words(coarse, fine), padded)
        ends = ends_of(words, facts_of(padded, self._modality), self._intensity)
        return Entry(
            clean=fine.values,
            fields=np.empty((0, 0, 0), np.float16),
            coarse=coarse,
            limits=fine.limits,
            strength=self._strength(coarse),
            # What the cubic leaves to be done: loss is relative to it, or the sharpest image would
            # be all that counts.
            error=max(float(np.sqrt(np.square(error).mean())), 1.0),
            floor=floor_of(fine.values),
            levels=np.zeros(1, np.float32),
            ends=np.array([ends], np.float32),
        )

    def draw(
        self, entry: Entry, rng: np.random.Generator, side: int, spec: Lesions | None = None
    ) -> Draw:
        del spec  # nothing of low contrast is lost by half a resolution
        window = cut(entry, rng, side, step=2)
        low, high = ([edge // 2 for edge in edges] for edges in _edges(window))
        rows, columns = entry.coarse.shape
        # The patch with what the cubic sees around it, so that a patch's edge is no image's edge.
        top, left = max(low[0] - REACH, 0), max(low[1] - REACH, 0)
        around = np.s_[top : min(high[0] + REACH, rows), left : min(high[1] + REACH, columns)]
        level = float(rng.uniform(*self._percent))
        coarse = self._noisy(entry.coarse[around], level / 100 * entry.strength, rng)
        coarse = np.clip(np.rint(coarse), *entry.limits).astype(np.float32)
        base = double(coarse)
        inner = np.s_[low[0] - top : high[0] - top, low[1] - left : high[1] - left]
        outer = np.s_[
            2 * (low[0] - top) : 2 * (high[0] - top), 2 * (low[1] - left) : 2 * (high[1] - left)
        ]
        clean = entry.clean[window].astype(np.float32)
        return Draw(coarse[inner], base[outer], clean, level, entry.error, entry.error)

    def whole(self, piece: Slice, level: float, rng: np.random.Generator) -> Values:
        padded = _even(piece)
        coarse = self._coarse(_filled(padded))
        noisy = self._noisy(coarse, level / 100 * self._strength(coarse), rng)
        return _padded(as_words(noisy, padded), padded)

    def _coarse(self, fine: Slice) -> Array:
        coarse = truncate(fine.values.astype(np.float32))
        return np.abs(coarse) if self._modality == "MR" else coarse

    def _strength(self, coarse: Array) -> float:
        return STRENGTH_HU if self._modality == "CT" else float(np.percentile(coarse, PERCENTILE))

    def _noisy(self, coarse: Array, sigma: float, rng: np.random.Generator) -> Array:
        noisy = coarse + np.float32(sigma) * rng.standard_normal(coarse.shape, dtype=np.float32)
        return np.abs(noisy) if self._modality == "MR" else noisy


def _edges(window: tuple[slice, slice]) -> tuple[tuple[int, int], tuple[int, int]]:
    rows, columns = window
    return (rows.start, columns.start), (rows.stop, columns.stop)


def _filled(piece: Slice) -> Slice:
    """Without padding: a scanner pads what it has reconstructed, so its edge is not in k-space."""
    holes = _holes(piece)
    values = fill(piece.values.astype(np.float32), holes)
    return piece._replace(values=np.rint(values).astype(piece.values.dtype), padding=None)


def _padded(words: Values, fine: Slice) -> Values:
    """Coarse words with padding where all of the fine pixels under one are."""
    if fine.padding is None:
        return words
    rows, columns = words.shape
    holes = _holes(fine).reshape(rows, 2, columns, 2).all((1, 3))
    return np.where(holes, words.dtype.type(fine.padding[0]), words)


def _holes(piece: Slice) -> npt.NDArray[np.bool_]:
    low, high = piece.padding or (1, 0)
    return np.asarray((piece.values >= low) & (piece.values <= high))


def _even(piece: Slice) -> Slice:
    rows, columns = piece.values.shape
    return piece._replace(values=piece.values[: rows - rows % 2, : columns - columns % 2])
