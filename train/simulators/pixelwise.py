"""Degradations quick enough to be made afresh for every patch: MR, X-ray, ultrasound.

The unit range of a percentile window depends on the whole degraded image, so it is measured at a
few levels beforehand and interpolated between them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from scipy.special import polygamma

from scanside.runtime.manifest import Intensity, Percentiles
from scanside.train.data.slice import Slice, Values
from scanside.train.degradations.radiograph import photon_noise
from scanside.train.degradations.rician import rician
from scanside.train.degradations.speckle import speckle
from scanside.train.entry import Array, Draw, Entry, as_words, ends_of, facts_of
from scanside.train.metrics.case import PERCENTILE
from scanside.train.recipe import Lesions, PhotonNoise, Rician, Span, Speckle
from scanside.train.simulators.patch import cut, floor_of, log_uniform, with_lesions

LEVELS = 6


class _Pixelwise(ABC):
    unit: str
    turns = True
    span: Span

    def __init__(self, modality: str, intensity: Intensity) -> None:
        self._modality = modality
        self._intensity = intensity

    @abstractmethod
    def _degrade(
        self, clean: Array, entry: Entry, level: float, rng: np.random.Generator, test: bool
    ) -> Array:
        """Any part of an image at a level; under test at the middle of what is drawn otherwise."""

    @abstractmethod
    def _deviation(self, entry: Entry, level: float) -> float:
        """Typical error at a level, in modality units."""

    def _level(self, rng: np.random.Generator) -> float:
        return log_uniform(rng, self.span)

    def prepare(self, piece: Slice, rng: np.random.Generator) -> Entry:
        entry = self._undegraded(piece)
        if not isinstance(self._intensity, Percentiles):
            return entry
        facts = facts_of(piece, self._modality)
        levels = np.linspace(*self.span, LEVELS)
        clean = piece.values.astype(np.float32)
        ends = []
        for level in levels.tolist():
            words = as_words(self._degrade(clean, entry, level, rng, test=False), piece)
            ends.append(ends_of(words, facts, self._intensity))
        return entry._replace(levels=levels.astype(np.float32), ends=np.array(ends, np.float32))

    def _undegraded(self, piece: Slice) -> Entry:
        """With the unit range of the image as it is."""
        ends = ends_of(piece.values, facts_of(piece, self._modality), self._intensity)
        return Entry(
            clean=piece.values,
            fields=np.empty((0, 0, 0), np.float16),
            coarse=np.empty((0, 0), np.float32),
            limits=piece.limits,
            strength=max(float(np.percentile(piece.values, PERCENTILE)), 1.0),
            error=0.0,
            floor=floor_of(piece.values),
            levels=np.zeros(1, np.float32),
            ends=np.array([ends], np.float32),
        )

    def draw(
        self, entry: Entry, rng: np.random.Generator, side: int, spec: Lesions | None = None
    ) -> Draw:
        clean = with_lesions(entry, cut(entry, rng, side), spec, rng)
        level = self._level(rng)
        noisy = self._degrade(clean, entry, level, rng, test=False)
        noisy = np.clip(np.rint(noisy), *entry.limits).astype(np.float32)
        typical = self._deviation(entry, math.sqrt(self.span[0] * self.span[1]))
        return Draw(noisy, noisy, clean, level, self._deviation(entry, level), typical)

    def whole(self, piece: Slice, level: float, rng: np.random.Generator) -> Values:
        entry = self._undegraded(piece)
        clean = piece.values.astype(np.float32)
        return as_words(self._degrade(clean, entry, level, rng, test=True), piece)


class RicianSimulator(_Pixelwise):
    """Levels are percent of the image's 99th percentile. Under test the noise is white."""

    unit = "%"

    def __init__(self, noise: Rician, modality: str, intensity: Intensity) -> None:
        super().__init__(modality, intensity)
        self.span = noise.percent
        self._acquired = noise.acquired

    def _level(self, rng: np.random.Generator) -> float:
        return float(rng.uniform(*self.span))

    def _degrade(
        self, clean: Array, entry: Entry, level: float, rng: np.random.Generator, test: bool
    ) -> Array:
        acquired = 1.0 if test else float(rng.uniform(*self._acquired))
        return rician(clean, self._deviation(entry, level), rng, acquired)

    def _deviation(self, entry: Entry, level: float) -> float:
        return level / 100 * entry.strength


class PhotonSimulator(_Pixelwise):
    """Levels are quanta per pixel where the detector gets most.

    A radiograph shows what is dense brightly, where few quanta arrive: the detector's signal is
    taken for its linear negative, as a film is.
    """

    unit = "quanta"

    def __init__(self, noise: PhotonNoise, modality: str, intensity: Intensity) -> None:
        super().__init__(modality, intensity)
        self.span = noise.quanta
        self._noise = noise

    def _degrade(
        self, clean: Array, entry: Entry, level: float, rng: np.random.Generator, test: bool
    ) -> Array:
        low, high = entry.limits
        spread = self._noise.blur
        blur = sum(spread) / 2 if test else float(rng.uniform(*spread))
        signal = np.float32(high) - clean
        noisy = photon_noise(signal, high - low, level, self._noise.read_quanta, blur, rng)
        return np.float32(high) - noisy

    def _deviation(self, entry: Entry, level: float) -> float:
        low, high = entry.limits
        return math.sqrt(level / 2 + self._noise.read_quanta**2) * (high - low) / level


class SpeckleSimulator(_Pixelwise):
    """Levels are looks: independent patterns averaged."""

    unit = "looks"
    turns = False

    def __init__(self, noise: Speckle, modality: str, intensity: Intensity) -> None:
        super().__init__(modality, intensity)
        self.span = noise.looks
        self._noise = noise

    def _degrade(
        self, clean: Array, entry: Entry, level: float, rng: np.random.Generator, test: bool
    ) -> Array:
        along, across = (
            sum(span) / 2 if test else float(rng.uniform(*span)) for span in self._noise.grain
        )
        decibels = self._noise.dynamic_range_db
        return speckle(clean, entry.limits[1], level, (along, across), decibels, rng)

    def _deviation(self, entry: Entry, level: float) -> float:
        # Of the logarithm of a mean of exponentials, that is of a Gamma variable.
        shown = 10 / math.log(10) * math.sqrt(float(polygamma(1, level)))
        return shown / self._noise.dynamic_range_db * entry.limits[1]
