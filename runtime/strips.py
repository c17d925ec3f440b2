"""A frame in strips of whole rows: what is computed of one stays in a core's cache.

NumPy makes a new array at every step of a formula. Of a whole frame of 1024 x 1024 each is 4 MiB
of memory that the system has to find and clear first, which took longer than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from scanside.runtime.frame import FrameFacts, Pixels, stored_values

PIXELS = 1 << 17
"""In a strip: 512 KiB of float32. Of 2^14 to 2^18, tried in turn, the larger were the faster (less
time goes to NumPy's calls), and this as fast as the next."""


def strips(rows: int, columns: int, *, least: int = 1) -> Iterator[slice]:
    """The rows of each strip in turn. least: rows that a strip has, unless it is the last."""
    height = max(least, PIXELS // columns)
    for top in range(0, rows, height):
        yield slice(top, min(top + height, rows))


def stored_floats(words: Pixels, facts: FrameFacts) -> npt.NDArray[np.float32]:
    """The stored values of pixel words, as `stored_values`, in a float32 array of its own: it holds
    16 bits exactly."""
    bits = 8 * words.dtype.itemsize
    if facts.bits_stored == bits and facts.signed == (words.dtype.kind == "i"):
        return words.astype(np.float32)
    if not facts.signed and words.dtype.kind == "u":
        mask = words.dtype.type((1 << facts.bits_stored) - 1)
        return np.bitwise_and(words, mask).astype(np.float32)
    return stored_values(words, facts).astype(np.float32)
