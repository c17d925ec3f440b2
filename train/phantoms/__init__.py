"""Randomised phantoms: training images with nothing to download."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from scanside.train.phantoms import ct, mr, radiograph, ultrasound

Painter = Callable[[int, np.random.Generator], npt.NDArray[np.float32]]

PAINTERS: dict[str, Painter] = {
    "ct": ct.phantom,
    "mr": mr.phantom,
    "xray": radiograph.phantom,
    "ultrasound": ultrasound.phantom,
}
"""`Recipe.phantom` -> what paints an image of (n, n) modality values."""

BITS = {"ct": 16, "mr": 12, "xray": 12, "ultrasound": 8}
"""Stored bits of each; CT is signed."""
