"""Training's speed: the whole loop against the bare passes, by patch size and cores."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch

from scanside.train.bank import make_bank, phantom_slices
from scanside.train.models import build
from scanside.train.recipe import Recipe
from scanside.train.sampler import Sampler
from scanside.train.stage import Options, Stage
from scanside.train.throughput import measure_throughput

PHANTOMS = 6
STEPS = 24


class ThroughputRow(msgspec.Struct, frozen=True, kw_only=True):
    """Images (patches) per second; share: of the bare loop's that the whole loop reaches."""

    crop: int
    threads: int
    loop: float
    bare: float
    share: float


def throughput(
    recipe: Recipe, crops: Sequence[int], threads: Sequence[int], precision: str
) -> list[ThroughputRow]:
    """Every patch size with every number of threads, on phantoms."""
    small = msgspec.structs.replace(recipe, phantoms=PHANTOMS)
    entries = make_bank(small, phantom_slices(small, PHANTOMS, 0))
    before = torch.get_num_threads()
    rows = []
    try:
        for count in threads:
            torch.set_num_threads(count)
            for crop in crops:
                sampler = Sampler(msgspec.structs.replace(small, crop=crop), entries)
                stage = Stage("throughput", 0, STEPS, recipe.learning_rate, loss=recipe.loss)
                model = build(recipe.network).train()
                options = Options(precision=precision)
                loop, bare = measure_throughput(model, sampler, stage, STEPS, options)
                rows.append(
                    ThroughputRow(crop=crop, threads=count, loop=loop, bare=bare, share=loop / bare)
                )
    finally:
        torch.set_num_threads(before)
    return rows
