"""The training loop: one stage of optimisation, resumable at any step."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.fx import GraphModule

from scanside.runtime.errors import (
    ArchitectureError,
    LossError,
)
from scanside.runtime.progress import task
from scanside.train.ema import Average, Patience
from scanside.train.journal import Journal, Step, load_state, save_state
from scanside.train.loss import left_over, loss_of, penalty
from scanside.train.memory import out_of_memory, too_large
from scanside.train.precision import (
    arithmetic,
    descend,
    make_fabric,
    scaler_of,
    take_share,
)
from scanside.train.sampler import Batch
from scanside.train.stage import Draws, Learner, Options, Outcome, Stage

WARM_UP = 50
CHECKPOINT_EVERY = 200
CHECKPOINT_SECONDS = 30.0
AHEAD = 2
"""Batches made in advance, while the network is busy."""


def rate_at(stage: Stage, step: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    warm = min(WARM_UP, max(1, stage.steps // 10))
    if step < warm:
        return stage.rate * (step + 1) / warm
    return stage.rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, stage.steps - warm)))


def fit(
    model: nn.Module, sampler: Draws, stage: Stage, run: Path, options: Options | None = None
) -> None:
    """Train `model` in place for the stage's steps; what it is left with are the averaged weights,
    or the best, where the options ask for them.

    Now and then everything goes to RUN/checkpoints/STAGE.part.pt, and a later call goes on from
    there, with the same batches as if it had never stopped: on a CPU, with as many threads, the
    weights are the same to the last bit. The model is put into training mode by the caller. Under
    `torchrun` each process takes its share of every batch, and the first alone writes.

    Raises LossError when the loss is not finite, OutOfMemoryError, and ArchitectureError when the
    checkpoint is of another network.
    """
    options = options or Options()
    fabric = make_fabric(options.precision, model)
    with arithmetic(model, fabric):
        run_stage(Descent(fabric, model, stage), sampler, stage, run, options)
    model.to("cpu")


class Descent:
    """AdamW down the loss of one network."""

    def __init__(self, fabric: Fabric, model: nn.Module, stage: Stage) -> None:
        self.fabric, self.model = fabric, model
        self._loss = stage.loss
        self._together = 2 if stage.loss == "l2 and contrast" else 1
        # Fused is twice as fast on a CPU, but cannot undo the scaling of fp16 before the clipping.
        self._optimiser = torch.optim.AdamW(
            model.parameters(), stage.rate, betas=(0.9, 0.99), fused=scaler_of(fabric) is None
        )
        self._wrapped, self._trainer = fabric.setup(model, self._optimiser)

    def step(self, batch: Batch, rate: float) -> Outcome:
        mine, share = take_share(batch, self.fabric, self._together)
        left = left_over(self._wrapped, mine)
        loss = penalty(left, mine, self._loss) * share
        value = descend(self.fabric, self._wrapped, self._trainer, loss, rate)
        return Outcome(value, mine.clean + left.detach())

    def rehearse(self, batch: Batch) -> None:
        self._trainer.zero_grad()
        mine, share = take_share(batch, self.fabric, self._together)
        self.fabric.backward(loss_of(self._wrapped, mine, self._loss) * share)

    def state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimiser": self._optimiser.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])


def run_stage(learner: Learner, sampler: Draws, stage: Stage, run: Path, options: Options) -> None:
    """All steps of a stage, from where it was left; see `fit`."""
    exhausted = False
    try:
        for _ in steps_of(learner, sampler, stage, run, options):
            pass
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        exhausted = True
    if exhausted:  # only here, where the error no longer holds the tensors of the step
        raise too_large(learner, sampler, stage)


def steps_of(
    learner: Learner, sampler: Draws, stage: Stage, run: Path, options: Options
) -> Generator[int, None, None]:
    """Takes a step of the stage each time it is asked for one, and gives its number."""
    fabric, model = learner.fabric, learner.model
    average = Average(model, options.ema) if options.ema else None
    patience = Patience(options.patience, stage.steps) if options.patience else None
    parts = {"learner": learner, "average": average, "patience": patience}
    saved_parts = {name: part for name, part in parts.items() if part is not None}
    partial = run / "checkpoints" / f"{stage.name}.part.pt"
    first = _resume(partial, fabric, stage, saved_parts, options.say)
    chief = fabric.is_global_zero
    leaves = average.model if average else model
    saved_at = time.monotonic()
    with (
        Journal(run, stage.name, first, active=chief) as journal,
        closing(_batches(sampler, stage, first)) as batches,
        task(f"Training {stage.name}", stage.steps) if chief else nullcontext() as progress,
    ):
        if progress:
            progress.advance(first)
        for step, batch in enumerate(batches, first):
            stage.switch(step)
            rate = rate_at(stage, step)
            try:
                outcome = learner.step(batch, rate)
            except FloatingPointError:
                raise _not_finite(stage, step, batch, partial) from None
            if average:
                average.update(model)
            stop = False
            if patience and patience.follow(step, outcome.loss):
                score = _validate(options.validate, leaves, fabric)
                stop = patience.judge(step, leaves, score)
            note = ""
            if stop and patience and step + 1 < stage.steps:
                note = f"stopped early, the best was step {patience.best_step}"
                if chief:
                    options.say(f"stage {stage.name} {note} (at step {step} of {stage.steps})")
            line = Step(stage.name, step, outcome.loss, rate, outcome.discriminator, note)
            journal.write(line, len(batch.image))
            if options.panels and (step + 1) % max(1, stage.steps // 10) == 0:
                shown = fabric.to_device(batch.image[0, 0])
                journal.show(step, shown, outcome.enhanced[0], fabric.to_device(batch.clean[0]))
            if progress:
                progress.advance(note=f"loss {outcome.loss:.3f}")
            yield step
            if stop:
                break
            due = (step + 1) % CHECKPOINT_EVERY == 0
            late = time.monotonic() - saved_at >= CHECKPOINT_SECONDS
            if chief and (due or late) and step + 1 < stage.steps:
                journal.flush()
                save_state(partial, _whole_state(fabric, step + 1, saved_parts))
                saved_at = time.monotonic()
    best = patience.best if patience else {}
    model.load_state_dict(fabric.broadcast(best or leaves.state_dict()))


def _batches(sampler: Draws, stage: Stage, first: int) -> Generator[Batch, None, None]:
    """The batches from step `first` on, made in a thread of their own: NumPy lets go of the
    interpreter's lock."""
    with ThreadPoolExecutor(1, "batches") as pool:
        draws = (
            pool.submit(sampler.batch, stage.batches, step) for step in range(first, stage.steps)
        )
        waiting = deque(islice(draws, AHEAD))
        while waiting:
            batch = waiting.popleft().result()
            waiting.extend(islice(draws, 1))
            yield batch


def _validate(
    validate: Callable[[nn.Module], float] | None, model: nn.Module, fabric: Fabric
) -> float | None:
    if validate is None:
        return None
    score = 0.0
    if fabric.is_global_zero:
        graph = isinstance(model, GraphModule)  # has no modes to change
        with torch.no_grad():
            score = float(validate(model if graph else model.eval()))
        if not graph:
            model.train()
    return fabric.broadcast(score)


def _whole_state(fabric: Fabric, step: int, parts: Mapping[str, Any]) -> dict[str, object]:
    scaler = scaler_of(fabric)
    return {
        "step": step,
        "random": torch.get_rng_state(),
        "scaler": scaler.state_dict() if scaler else {},
        **{name: part.state() for name, part in parts.items()},
    }


def _resume(
    partial: Path,
    fabric: Fabric,
    stage: Stage,
    parts: Mapping[str, Any],
    say: Callable[[str], None],
) -> int:
    """Put everything where the last checkpoint had it; the step to go on with.

    Comes after `Fabric.setup`: the optimiser's state goes where the parameters are.
    """
    state = None
    if fabric.is_global_zero:
        for stray in partial.parent.glob(".*.part"):  # of a process that was killed as it wrote
            stray.unlink(missing_ok=True)
        state = load_state(partial, {"step", "random", "scaler", *parts})
        if state is None and partial.exists():
            say(f"{partial.name} is damaged: stage {stage.name} starts again from its beginning")
    state = fabric.broadcast(state)
    if state is None:
        return 0
    first = int(state["step"])
    for step in range(first):
        stage.switch(step)
    try:
        for name, part in parts.items():
            part.load(state[name])
    except (RuntimeError, ValueError, KeyError) as error:
        raise ArchitectureError(
            f"{partial.name} was written for another network",
            next_step="remove it and train again, or train into a new folder",
        ) from error
    scaler = scaler_of(fabric)
    if scaler and state["scaler"]:
        scaler.load_state_dict(state["scaler"])
    torch.set_rng_state(state["random"])
    return first


def _not_finite(stage: Stage, step: int, batch: Batch, partial: Path) -> LossError:
    which = f"batch (stage {stage.batches}, step {step})"
    if all(bool(torch.isfinite(one).all()) for one in batch):
        cause, remedy = f"{which} is finite", "lower the stage's rate in the recipe"
    else:
        cause, remedy = f"{which} is not finite either", "remove the image that it was drawn from"
    kept = f"; {partial.name} holds the last good weights" if partial.exists() else ""
    return LossError(
        f"the loss of stage {stage.name} is not finite at step {step} ({cause})",
        next_step=f"{remedy} and train into a new folder{kept}",
    )
