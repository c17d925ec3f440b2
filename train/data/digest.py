"""Which images a model saw, naming none of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from scanside.train.data.slice import Slice


def digest(slices: Sequence[Slice]) -> str:
    """sha256 (hex) of values, type, geometry and padding, in order; the patients are not in it."""
    total = hashlib.sha256()
    for one in slices:
        words = np.ascontiguousarray(one.values, one.values.dtype.newbyteorder("<"))
        padding = None if one.padding is None else tuple(map(int, one.padding))
        total.update(repr((words.shape, words.dtype.str, one.bits, padding)).encode())
        total.update(float(one.pixel_mm).hex().encode())
        total.update(words.tobytes())
    return total.hexdigest()
