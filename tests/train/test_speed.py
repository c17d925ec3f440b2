"""The gate on measured latency, by a clock of its own: tests time nothing."""

import msgspec
import pytest
import torch

from scanside.runtime.errors import TrainingError
from scanside.train import speed, stages
from scanside.train.models.unet import UNet
from tiny import TINY


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Takes(torch.nn.Module):
    """A network that takes so many seconds; now and then the machine is busy."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds, self.calls = clock, seconds, 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.clock.now += self.seconds * (9 if self.calls % 5 == 0 else 1)
        return image


def test_the_ratio_is_the_median_of_the_rounds(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(speed, "time", clock)
    monkeypatch.setattr(speed, "_ready", lambda model: model)
    whole, pruned = Takes(clock, 0.3), Takes(clock, 0.1)
    pruned.calls = 2  # so that the busy moments fall apart
    assert speed.speedup(whole, pruned) == pytest.approx(3)


def test_pruning_that_gains_no_time_is_refused(monkeypatch):
    monkeypatch.setattr(stages, "speedup", lambda whole, pruned: 1.05)
    lines: list[str] = []
    recipe = msgspec.structs.replace(TINY, least_speedup=1.2)
    with pytest.raises(TrainingError, match=r"1.05 times as fast, 1.2 was asked for"):
        stages._insist_on_speed(recipe, UNet((8, 8)), UNet((4, 4)), lines.append)
    assert "1.05 times as fast" in lines[0]
