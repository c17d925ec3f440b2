"""The duel: its losses are their formulas, both sides learn, and it goes on where it stopped."""

import numpy as np
import pytest
import torch
from torch import nn

from draws import Draws
from scanside.runtime.errors import LossError
from scanside.train import fit as fitting
from scanside.train.adversarial import Duel, fit_adversarial, verdict
from scanside.train.curves import plot_curves
from scanside.train.fit import rate_at
from scanside.train.journal import read_journal
from scanside.train.loss import loss_of
from scanside.train.models.discriminator import Discriminator
from scanside.train.models.srgan import SRGAN
from scanside.train.models.unet import UNet
from scanside.train.precision import arithmetic, make_fabric
from scanside.train.stage import Options, Stage

EXACT = Options(precision="32")


def networks() -> tuple[UNet, Discriminator]:
    torch.manual_seed(0)
    return UNet((8, 16)).train(), Discriminator(4).train()


STAGE = Stage("duel", 4, 6, 1e-3, loss="l1")


@pytest.mark.parametrize("real", [0.0, 1.0])
def test_the_verdict_is_binary_cross_entropy(real):
    logits = np.random.default_rng(0).normal(0, 3, (8, 1))
    chance = 1 / (1 + np.exp(-logits))
    expected = -np.mean(real * np.log(chance) + (1 - real) * np.log(1 - chance))
    assert float(verdict(torch.from_numpy(logits), real)) == pytest.approx(expected)


def test_the_losses_are_their_formulas():
    """The first step's losses, from the networks as they were before it: the discriminator's
    rate is 0 here, so that the generator meets it unchanged."""
    batch = Draws(even=True).batch(0, 0)
    generator, discriminator = networks()
    with torch.no_grad():
        left = (generator(batch.image)[:, 0] + batch.error).double().numpy()
        fake = (batch.clean + generator(batch.image)[:, 0] + batch.error)[:, None]
        real_logits = discriminator(batch.clean[:, None]).double().numpy()
        fake_logits = discriminator(fake).double().numpy()
    generator, discriminator = networks()
    fabric = make_fabric("32", generator)
    with arithmetic(generator, fabric), arithmetic(discriminator, fabric):
        duel = Duel(fabric, generator, discriminator, STAGE, 0.25)
        outcome = duel.step(batch, 0.0)

    def softplus(x):
        return np.log1p(np.exp(x))

    lost = (softplus(-real_logits).mean() + softplus(fake_logits).mean()) / 2
    total = np.mean(np.abs(left) * np.sqrt(400.0)) + 0.25 * softplus(-fake_logits).mean()
    assert outcome.discriminator == pytest.approx(lost, rel=1e-4)
    assert outcome.loss == pytest.approx(total, rel=1e-4)
    torch.testing.assert_close(outcome.enhanced, fake[:, 0], rtol=1e-4, atol=1e-5)


def test_each_side_is_moved_by_its_own_loss_only():
    batch = Draws(even=True).batch(0, 0)
    generator, discriminator = networks()
    fabric = make_fabric("32", generator)
    with arithmetic(generator, fabric), arithmetic(discriminator, fabric):
        duel = Duel(fabric, generator, discriminator, STAGE, 0.0)
        duel.rehearse(batch)
        alone = [value.grad.clone() for value in generator.parameters()]
        judged = [value.grad.clone() for value in discriminator.parameters()]
        duel = Duel(fabric, generator, discriminator, STAGE, 1.0)
        duel.rehearse(batch)
        both = [value.grad.clone() for value in generator.parameters()]
    assert any(not torch.allclose(a, b, rtol=1e-3) for a, b in zip(alone, both, strict=True))
    again = [value.grad for value in discriminator.parameters()]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(judged, again, strict=True))
    assert all(value.requires_grad for value in discriminator.parameters())


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_both_sides_learn_and_are_written_down(tmp_path, precision):
    generator, discriminator = networks()
    draws, stage = Draws(even=True), STAGE._replace(steps=40, rate=3e-3)
    batch = draws.batch(9, 0)
    before = loss_of(generator, batch, "l1").item()
    options = Options(precision=precision, panels=True)
    fit_adversarial(generator, discriminator, draws, stage, tmp_path, options, 1e-3)
    assert loss_of(generator, batch, "l1").item() < 0.9 * before
    steps = read_journal(tmp_path)["duel"]
    assert [step.step for step in steps.values()] == list(range(40))
    assert all(step.rate == rate_at(stage, step.step) for step in steps.values())
    assert min(step.discriminator for step in steps.values()) < 0.6 < np.log(2)
    plot_curves(tmp_path)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_papers_generator_fights_at_two_scales(tmp_path):
    torch.manual_seed(0)
    draws = Draws(even=True)
    draws.scale = 2
    fit_adversarial(SRGAN(8, 1).train(), Discriminator(4).train(), draws, STAGE, tmp_path)
    assert len(read_journal(tmp_path)["duel"]) == 6


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_stopped_duel_resumes_exactly(tmp_path, monkeypatch, ema):
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 2)
    options = EXACT._replace(ema=ema)

    def stop(step: int) -> None:
        if step == 5:
            raise StoppedError

    weights = []
    for name in ("whole", "stopped"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "stopped":
            with pytest.raises(StoppedError):
                fit_adversarial(
                    *networks(), Draws(even=True), STAGE._replace(switch=stop), folder, options
                )
        sides = networks()
        fit_adversarial(*sides, Draws(even=True), STAGE, folder, options)
        weights.append([*sides[0].state_dict().values(), *sides[1].state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    whole, stopped = (read_journal(tmp_path / name) for name in ("whole", "stopped"))
    assert whole == stopped


@pytest.mark.parametrize("side", [0, 1])
def test_a_loss_that_is_not_finite_stops_the_duel(tmp_path, side):
    sides = networks()
    nn.init.constant_(next(iter(sides[side].parameters())), float("nan"))
    with pytest.raises(LossError, match="stage duel is not finite at step 0"):
        fit_adversarial(*sides, Draws(even=True), STAGE, tmp_path, EXACT)
    assert not (tmp_path / "checkpoints").exists()
