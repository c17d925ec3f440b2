"""What a stage of training is made of, and what the loop asks of its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from lightning_fabric import Fabric
from torch import Tensor, nn

from scanside.train.sampler import Batch


class Draws(Protocol):
    """What gives the batches: the same one for the same stage and step."""

    def batch(self, stage: int, step: int) -> Batch: ...


def _silent(line: str) -> None:
    pass


class Stage(NamedTuple):
    """name: of its checkpoint. batches: which sequence of batches it sees. rate: peak
    learning rate. switch: called with each step before it runs (QAT freezes its ranges so).
    loss: as in a recipe."""

    name: str
    batches: int
    steps: int
    rate: float
    switch: Callable[[int], None] = lambda step: None
    loss: str = "l2"


class Options(NamedTuple):
    """precision: see `scanside.train.precision`. ema: decay of the averaged weights, 0 for none.
    patience: stop when so many tenths of the stage have brought nothing better, 0 for never.
    validate: what better means, the lower the better, given the model in evaluation mode; the
    training loss where it is None. panels: whether patches go to TensorBoard. say: told what the
    user should know, a line at a time."""

    precision: str = "auto"
    ema: float = 0.0
    patience: int = 0
    validate: Callable[[nn.Module], float] | None = None
    panels: bool = False
    say: Callable[[str], None] = _silent


class Outcome(NamedTuple):
    """Of a step. enhanced: (B, H, W), in units of the unit range."""

    loss: float
    enhanced: Tensor
    discriminator: float | None = None


class Learner(Protocol):
    """What a stage does with a batch. model: what it is for. step: raises FloatingPointError, with
    nothing applied, when a loss is not finite. rehearse: forward and backward, nothing applied."""

    fabric: Fabric
    model: nn.Module

    def step(self, batch: Batch, rate: float) -> Outcome: ...
    def rehearse(self, batch: Batch) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def load(self, state: dict[str, Any]) -> None: ...
