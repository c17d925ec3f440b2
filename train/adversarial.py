"""A generator against a discriminator, after its pre-training on L1.

C. Ledig et al., CVPR 2017: the generator's loss is content plus 10^-3 times the adversarial term,
which is the binary cross entropy of the discriminator's verdict. Content is L1 here; the paper's
VGG features know photographs, not tissue.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from scanside.train.fit import run_stage
from scanside.train.loss import left_over, penalty
from scanside.train.precision import arithmetic, descend, make_fabric, take_share
from scanside.train.sampler import Batch
from scanside.train.stage import Draws, Options, Outcome, Stage

BETAS = (0.9, 0.999)


def fit_adversarial(
    generator: nn.Module,
    discriminator: nn.Module,
    sampler: Draws,
    stage: Stage,
    run: Path,
    options: Options | None = None,
    weight: float = 1e-3,
) -> None:
    """Train `generator` in place, a step for the discriminator and one for it in turn.

    discriminator: image (B, 1, H, W) -> logits (B, 1), high for a real one; trained in place too.
    weight: of the adversarial term. Resumes, stops and averages (the generator) as `fit` does,
    whose errors it raises; `Options.patience` needs `Options.validate`, since the loss of a duel
    says nothing about the picture.
    """
    options = options or Options()
    if options.validate is None:
        options = options._replace(patience=0)
    fabric = make_fabric(options.precision, generator, sync_buffers=False)
    with arithmetic(generator, fabric), arithmetic(discriminator, fabric):
        duel = Duel(fabric, generator, discriminator, stage, weight)
        run_stage(duel, sampler, stage, run, options)
    generator.to("cpu")
    discriminator.to("cpu")


def verdict(logits: Tensor, real: float) -> Tensor:
    """Binary cross entropy of (B, 1) logits with the answer `real`: 1 for yes, 0 for no."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, real))


class Duel:
    """Adam on both sides. The generator's forward pass serves both steps."""

    def __init__(
        self,
        fabric: Fabric,
        generator: nn.Module,
        discriminator: nn.Module,
        stage: Stage,
        weight: float,
    ) -> None:
        self.fabric, self.model = fabric, generator
        self._discriminator, self._stage, self._weight = discriminator, stage, weight
        self._optimisers = [
            torch.optim.Adam(side.parameters(), stage.rate, betas=BETAS)
            for side in (generator, discriminator)
        ]
        self._makes, self._maker = fabric.setup(generator, self._optimisers[0])
        self._judges, self._judge = fabric.setup(discriminator, self._optimisers[1])

    def step(self, batch: Batch, rate: float) -> Outcome:
        mine, share = take_share(batch, self.fabric)
        left = left_over(self._makes, mine)
        fake = mine.clean + left
        lost = descend(
            self.fabric, self._judges, self._judge, self._caught(mine, fake) * share, rate
        )
        total = self._total(mine, left, fake) * share
        return Outcome(
            descend(self.fabric, self._makes, self._maker, total, rate), fake.detach(), lost
        )

    def rehearse(self, batch: Batch) -> None:
        mine, share = take_share(batch, self.fabric)
        left = left_over(self._makes, mine)
        fake = mine.clean + left
        self._judge.zero_grad()
        self.fabric.backward(self._caught(mine, fake) * share)
        self._maker.zero_grad()
        self.fabric.backward(self._total(mine, left, fake) * share)

    def _caught(self, batch: Batch, fake: Tensor) -> Tensor:
        """The discriminator's loss: real ones called fake, and fakes that pass."""
        real = verdict(self._judges(batch.clean[:, None]), 1.0)
        return (real + verdict(self._judges(fake.detach()[:, None]), 0.0)) / 2

    def _total(self, batch: Batch, left: Tensor, fake: Tensor) -> Tensor:
        """The generator's loss: L1 (or the stage's), and fakes that do not pass."""
        self._discriminator.requires_grad_(False)
        # Not the wrapped one: DDP would wait for gradients that nobody asks for.
        with self.fabric.autocast():
            logits = self._discriminator(fake[:, None])
        self._discriminator.requires_grad_(True)
        content = penalty(left, batch, self._stage.loss)
        return content + self._weight * verdict(logits.float(), 1.0)

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "discriminator": self._discriminator.state_dict(),
            "optimisers": [one.state_dict() for one in self._optimisers],
        }

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self._discriminator.load_state_dict(state["discriminator"])
        for one, saved in zip(self._optimisers, state["optimisers"], strict=True):
            one.load_state_dict(saved)
