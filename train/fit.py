"""The training loop: one stage of optimisation, resumable at any step."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from scanside.runtime.errors import TrainingError
from scanside.runtime.files import replace_file
from scanside.runtime.progress import task
from scanside.train.bank import Batch, Sampler

WARM_UP = 50
CHECKPOINT_EVERY = 200
CLIP_NORM = 1.0
HU = 40.0  # brings the loss to about one


class Stage(NamedTuple):
    """name: of its checkpoint. batches: which sequence of batches it sees. rate: peak
    learning rate. switch: called with each step before it runs (QAT freezes its ranges so)."""

    name: str
    batches: int
    steps: int
    rate: float
    switch: Callable[[int], None] = lambda step: None


class Step(msgspec.Struct):
    """A line of metrics.jsonl."""

    stage: str
    step: int
    loss: float
    rate: float


def loss_of(model: Callable[[Tensor], Tensor], batch: Batch, span: float) -> Tensor:
    """Mean squared HU left over, weighted as the device weights it; each slice relative to its own
    noise, or the noisiest would be all that counts."""
    left = batch.weight * model(batch.image)[:, 0] * span + batch.noise
    return ((left / HU).square() / (batch.sigma / HU)).mean()


def rate_at(stage: Stage, step: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    warm = min(WARM_UP, max(1, stage.steps // 10))
    if step < warm:
        return stage.rate * (step + 1) / warm
    return stage.rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, stage.steps - warm)))


def fit(model: nn.Module, sampler: Sampler, stage: Stage, run: Path) -> None:
    """Train `model` in place for the stage's steps.

    Every CHECKPOINT_EVERY steps model, optimiser and step go to RUN/checkpoints/STAGE.part.pt, and
    a later call goes on from there, with the same batches as if it had never stopped. The model is
    put into training mode by the caller. Raises TrainingError when the loss is not finite.
    """
    fabric = Fabric(accelerator="auto", devices=1)
    optimiser = torch.optim.AdamW(model.parameters(), stage.rate, betas=(0.9, 0.99))
    wrapped, trainer = fabric.setup(model, optimiser)
    partial = run / "checkpoints" / f"{stage.name}.part.pt"
    first = 0
    if partial.exists():  # after setup: the optimiser's state goes where the parameters are
        state = torch.load(partial, map_location="cpu", weights_only=True)
        for step in range(state["step"] + 1):
            stage.switch(step)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    with (
        (run / "metrics.jsonl").open("ab") as log,
        task(f"Training {stage.name}", stage.steps) as progress,
    ):
        progress.advance(first)
        for step in range(first, stage.steps):
            stage.switch(step)
            for group in trainer.param_groups:
                group["lr"] = rate_at(stage, step)
            batch = Batch(
                *(fabric.to_device(tensor) for tensor in sampler.batch(stage.batches, step))
            )
            loss = loss_of(wrapped, batch, sampler.span)
            value = loss.item()
            trainer.zero_grad()
            fabric.backward(loss)
            norm = fabric.clip_gradients(
                wrapped, trainer, max_norm=CLIP_NORM, error_if_nonfinite=False
            )
            # Before the step: nothing that is not finite may reach a checkpoint.
            if not (math.isfinite(value) and norm is not None and math.isfinite(norm.item())):
                raise TrainingError(
                    f"the loss of stage {stage.name} is not finite at step {step}",
                    next_step="lower learning_rate in the recipe and train into a new folder",
                )
            trainer.step()
            line = Step(stage.name, step, value, rate_at(stage, step))
            log.write(msgspec.json.encode(line) + b"\n")
            progress.advance(note=f"loss {value:.3f}")
            if (step + 1) % CHECKPOINT_EVERY == 0 and step + 1 < stage.steps:
                log.flush()
                save_state(
                    partial,
                    {
                        "model": model.state_dict(),
                        "optimiser": optimiser.state_dict(),
                        "step": step + 1,
                    },
                )
    model.to("cpu")


def save_state(path: Path, state: dict[str, object]) -> None:
    """torch.save, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as stream:
        torch.save(state, stream)
