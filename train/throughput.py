"""How fast the training loop is beside its forward and backward passes alone."""

from __future__ import annotations

import math
import time
from contextlib import closing
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch import nn

from scanside.train.fit import AHEAD, Descent, steps_of
from scanside.train.precision import arithmetic, make_fabric
from scanside.train.stage import Draws, Options, Stage

BLOCK = 5
"""Steps that are timed in one go."""


def measure_throughput(
    model: nn.Module, sampler: Draws, stage: Stage, steps: int, options: Options | None = None
) -> tuple[float, float]:
    """Images per second of the training loop, with everything it does, and of nothing but forward
    and backward passes over one batch. The two take turns, about `steps` steps each, and the median
    turn counts; `model` is trained."""
    options = options or Options()
    fabric = make_fabric(options.precision, model)
    blocks = math.ceil(steps / BLOCK)
    longer = stage._replace(steps=(blocks + 1) * (AHEAD + BLOCK))
    batch = sampler.batch(stage.batches, 0)
    loop: list[float] = []
    bare: list[float] = []
    with TemporaryDirectory() as folder, arithmetic(model, fabric):
        learner = Descent(fabric, model, longer)
        with closing(steps_of(learner, sampler, longer, Path(folder), options)) as taken:
            for block in range(blocks + 1):
                for _ in islice(taken, AHEAD):  # what the bare loop gave time to prepare
                    pass
                began = time.perf_counter()
                for _ in islice(taken, BLOCK):
                    pass
                middle = time.perf_counter()
                for _ in range(BLOCK):
                    learner.rehearse(batch)
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                if block:  # the first warms up
                    loop.append(middle - began)
                    bare.append(time.perf_counter() - middle)
    model.to("cpu")
    images = BLOCK * len(batch.image)
    return images / median(loop), images / median(bare)
