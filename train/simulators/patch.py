"""Where a training patch is cut."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scanside.train.data.lesions import lesions
from scanside.train.entry import Array, Entry
from scanside.train.recipe import Lesions

BODY_FRACTION = 0.1
TRIES = 8

Window = tuple[slice, slice]


def cut(entry: Entry, rng: np.random.Generator, side: int, step: int = 1) -> Window:
    """A window of side x side whose corner lies on a multiple of `step`.

    Mostly of the body: an image holds more air than there is to learn from it.
    """
    rows, columns = entry.clean.shape
    for _ in range(TRIES):
        top = step * int(rng.integers((rows - side) // step + 1))
        left = step * int(rng.integers((columns - side) // step + 1))
        window = np.s_[top : top + side, left : left + side]
        if (entry.clean[window] > entry.floor).mean() > BODY_FRACTION:
            break
    return window


def with_lesions(
    entry: Entry, window: Window, spec: Lesions | None, rng: np.random.Generator
) -> Array:
    """The clean patch, float32, with lesions in the body. It takes as much from `rng` without."""
    own = np.random.default_rng(int(rng.integers(2**62)))
    clean = entry.clean[window].astype(np.float32)
    if spec is None:
        return clean
    rows, columns = clean.shape
    added = lesions((rows, columns), entry.strength, spec, own)
    changed = clean + added * (clean > entry.floor)
    return np.asarray(np.clip(changed, *entry.limits), dtype=np.float32)


def floor_of(values: npt.NDArray[np.integer]) -> float:
    """A value over which lies the body: a tenth of the way to the 99th percentile."""
    low, strong = float(values.min()), float(np.percentile(values, 99))
    return low + 0.1 * (strong - low)


def log_uniform(rng: np.random.Generator, span: tuple[float, float]) -> float:
    """Evenly on a logarithmic scale: doses and counts span orders of magnitude."""
    return float(np.exp(rng.uniform(*np.log(span))))
