"""When memory runs out: which patch would have fitted."""

from __future__ import annotations

import torch

from scanside.runtime.errors import OutOfMemoryError
from scanside.train.sampler import Batch
from scanside.train.stage import Draws, Learner, Stage

TRIALS = 4


def out_of_memory(error: BaseException) -> bool:
    words = str(error)
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or (
        "can't allocate memory" in words or "out of memory" in words
    )


def too_large(learner: Learner, sampler: Draws, stage: Stage) -> OutOfMemoryError:
    """Tries smaller patches: half, a quarter, ..."""
    batch = sampler.batch(stage.batches, 0)
    rows, side = batch.error.shape[:2]
    message = f"stage {stage.name} is out of memory with {rows} patches of {side} x {side} pixels"
    if learner.fabric.world_size > 1:  # one process cannot try alone
        return OutOfMemoryError(message, next_step=f"set crop = {side // 2} in the recipe")
    multiple = int(getattr(learner.model, "multiple_of", 16))
    low = batch.image.shape[-1]
    for _ in range(TRIALS):
        low = low // 2 // multiple * multiple
        if low and _fits(learner, batch, low):
            fitting = low * side // batch.image.shape[-1]
            return OutOfMemoryError(
                message, next_step=f"set crop = {fitting} in the recipe, which fits, or lower batch"
            )
    return OutOfMemoryError(
        message, next_step="lower batch in the recipe or take a smaller network: no patch fits"
    )


def _fits(learner: Learner, batch: Batch, side: int) -> bool:
    scale = batch.error.shape[-1] // batch.image.shape[-1]
    smaller = Batch(
        batch.image[..., :side, :side],
        *(one[..., : side * scale, : side * scale] for one in batch[1:]),
    )
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        learner.rehearse(smaller)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return False
    finally:
        learner.model.zero_grad()
    return True
