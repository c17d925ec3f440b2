"""A sampler for the tests of the training loop: flat patches under white noise, learnt in a few
steps."""

from __future__ import annotations

import numpy as np
import torch

from scanside.train.sampler import Batch


class Draws:
    """As `scanside.train.sampler.Sampler`: the same batch for the same stage and step.

    even: all pixels and images count alike. asked: the steps that were asked for.
    """

    def __init__(
        self, rows: int = 4, side: int = 32, scale: int = 1, *, even: bool = False
    ) -> None:
        self.rows, self.side, self.scale, self.even = rows, side, scale, even
        self.asked: list[int] = []

    def batch(self, stage: int, step: int) -> Batch:
        self.asked.append(step)
        rng = np.random.default_rng([stage, step])
        clean = rng.uniform(0.2, 0.8, (self.rows, 1, 1)) + np.zeros((self.side, self.side))
        error = rng.normal(0, 0.05, clean.shape)
        image = (clean + error)[:, None, :: self.scale, :: self.scale]
        emphasis, weight = (
            rng.uniform(300, 500, (self.rows, 1, 1)),
            rng.uniform(0.5, 1, clean.shape),
        )
        if self.even:
            emphasis, weight = np.full((self.rows, 1, 1), 400.0), np.ones_like(clean)
        parts = (image, error, weight, emphasis, clean)
        return Batch(*(torch.from_numpy(part.astype(np.float32)) for part in parts))
