"""Which weights a stage leaves behind: their moving average, and the best it came by."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

TENTHS = 10


class Average:
    """The exponential moving average of a model's weights and batch-norm statistics.

    After update n (from 0) the decay is min(decay, (1 + n) / (10 + n)), as in TensorFlow's
    ExponentialMovingAverage: a short stage would otherwise average in the weights it began with.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """decay: from 0 (the weights themselves) to below 1."""
        self._decay = decay
        self._averaged = AveragedModel(model, multi_avg_fn=self._lerp, use_buffers=True)

    @property
    def model(self) -> nn.Module:
        module: nn.Module = self._averaged.module
        return module

    def update(self, model: nn.Module) -> None:
        self._averaged.update_parameters(model)

    def _lerp(self, averages: Any, values: Any, updates: Tensor | int) -> None:
        count = int(updates)
        decay = min(self._decay, (1 + count) / (10 + count))
        lerp = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        lerp(averages, values, updates)

    def state(self) -> dict[str, Any]:
        return self._averaged.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        self._averaged.load_state_dict(state)


class Patience:
    """Early stop: a stage ends when `tenths` tenths of it in a row have brought nothing better.

    A tenth's score (the lower the better) is its mean training loss, unless `judge` is given
    another. What is best so far is kept; it goes into the checkpoint with everything else, so that
    a resumed stage stops where an uninterrupted one does.
    """

    def __init__(self, tenths: int, steps: int) -> None:
        self._tenths = tenths
        self._ends = {round(tenth * steps / TENTHS) for tenth in range(1, TENTHS + 1)}
        self._losses: list[float] = []
        self._score = math.inf
        self._waited = 0
        self.best: dict[str, Tensor] = {}
        self.best_step = 0

    def follow(self, step: int, loss: float) -> bool:
        """Note a step's loss; whether the step ends a tenth."""
        self._losses.append(loss)
        return step + 1 in self._ends

    def judge(self, step: int, model: nn.Module, score: float | None = None) -> bool:
        """Close a tenth; whether to stop here."""
        if score is None:
            score = math.fsum(self._losses) / len(self._losses)
        self._losses = []
        if score < self._score:
            self._score, self._waited, self.best_step = score, 0, step
            self.best = {name: value.clone() for name, value in model.state_dict().items()}
            return False
        self._waited += 1
        return self._waited >= self._tenths

    def state(self) -> dict[str, Any]:
        return {
            "losses": torch.tensor(self._losses, dtype=torch.float64),
            "score": self._score,
            "waited": self._waited,
            "best": self.best,
            "best_step": self.best_step,
        }

    def load(self, state: dict[str, Any]) -> None:
        self._losses = state["losses"].tolist()
        self._score, self._waited = state["score"], state["waited"]
        self.best, self.best_step = state["best"], state["best_step"]
