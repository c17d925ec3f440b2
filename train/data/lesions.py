"""Low-contrast lesions for training patches: what a denoiser must not swallow.

A network trained on the mean squared error fades whatever its images hold little of. Without these
a disc of +40 HU and 8 pixels radius kept 0.7 of its contrast at 40 HU of noise. They are ellipses
with soft edges of any size, so that it is no drawn disc that is learnt.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scanside.train.recipe import Lesions


def lesions(
    shape: tuple[int, int], strength: float, spec: Lesions, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """(R, C) to be added to a patch. strength: modality units that 100 percent stand for."""
    rows, columns = shape
    added = np.zeros(shape, np.float32)
    y, x = np.ogrid[:rows, :columns]
    least, most = spec.per_patch
    for _ in range(int(rng.integers(least, most + 1))):
        radius = np.exp(rng.uniform(*np.log(spec.radius)))
        contrast = np.exp(rng.uniform(*np.log(spec.percent))) / 100 * strength
        aspect, turn = rng.uniform(0.7, 1.4), rng.uniform(0, np.pi)
        dy, dx = y - rng.uniform(0, rows), x - rng.uniform(0, columns)
        along = (dx * np.cos(turn) + dy * np.sin(turn)) * aspect
        across = (dy * np.cos(turn) - dx * np.sin(turn)) / aspect
        edge = rng.uniform(0.6, 2.0)
        cover = np.clip((radius - np.hypot(along, across)) / edge + 0.5, 0, 1)
        added += (rng.choice([-1.0, 1.0]) * contrast * cover).astype(np.float32)
    return added
