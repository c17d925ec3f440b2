"""Interpolations for 2x, all on the half-pixel-centred grid of the coarse image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from scanside.runtime.cubic import double
from scanside.train.degradations.interpolation import lanczos
from scanside.train.degradations.kspace import zero_fill

Array = npt.NDArray[np.float32]

INTERPOLATIONS: dict[str, Callable[[Array], Array]] = {
    "bicubic": double,
    "Lanczos 3": partial(lanczos, lobes=3),
    "Lanczos 5": partial(lanczos, lobes=5),
    "zero-filled sinc": zero_fill,
}
"""(R, C) -> (2R, 2C)."""
