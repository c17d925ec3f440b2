"""Budgets are met by every criterion on every network, and what goes is what matters least."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scanside.runtime.errors import TrainingError
from scanside.train.models import build
from scanside.train.prune import IMPORTANCES, MOST_PER_LAYER, kept, macs, prune
from scanside.train.recipe import MonaiUNetShape, SRGANShape, SRNetShape, UNetShape

pytestmark = pytest.mark.usefixtures("one_thread")


def gradients(model):
    torch.manual_seed(0)
    model(torch.rand(2, 1, 16, 16)).sub(0.1).abs().mean().backward()


def convolutions(model):
    return [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_every_criterion_meets_its_budget_on_every_network(shape, importance, looks_trained):
    model = looks_trained(shape)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    pruned = prune(model, 0.6, importance, gradients=gradients)
    assert 0.35 < macs(pruned) / macs(model) <= 0.6
    assert pruned(torch.rand(1, 1, 16, 16)).shape == model(torch.rand(1, 1, 16, 16)).shape
    # The model itself is left as it was, gradients included.
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("budget", [0.35, 0.8])
@pytest.mark.parametrize(
    "shape",
    [
        UNetShape(widths=(16, 32, 64)),
        MonaiUNetShape(widths=(16, 32, 64)),
        SRNetShape(width=32, blocks=3),
        SRGANShape(width=32, blocks=2),
        SRGANShape(width=32, blocks=2, prelu=False),
    ],
)
def test_small_and_large_budgets_are_met_and_not_by_far(shape, budget):
    torch.manual_seed(0)
    model = build(shape)
    pruned = prune(model, budget)
    assert budget - 0.15 < macs(pruned) / macs(model) <= budget
    for before, after in zip(convolutions(model), convolutions(pruned), strict=True):
        assert after.out_channels >= (1 - MOST_PER_LAYER) * before.out_channels
        assert after.out_channels % 4 == 0 or after.out_channels == 1


def test_what_feeds_the_result_and_the_pixel_shuffle_keeps_its_channels():
    torch.manual_seed(0)
    pruned = prune(build(SRGANShape(width=16, blocks=1)), 0.6)
    assert (pruned.upsample[0].out_channels, pruned.tail.out_channels) == (64, 1)
    assert pruned.tail.in_channels == 16
    assert pruned.upsample[0].in_channels == pruned.head[0].out_channels < 16
    assert prune(build(SRNetShape(width=16, blocks=1)), 0.6).last.out_channels == 4


def test_round_to_is_kept():
    torch.manual_seed(0)
    pruned = prune(build(SRNetShape(width=64, blocks=3)), 0.5, round_to=16)
    assert {conv.out_channels % 16 for conv in convolutions(pruned)[:-1]} == {0}


@pytest.mark.parametrize(
    ("wanted", "channels", "round_to", "stay"),
    [
        (13, 32, 4, 12),
        (14, 32, 4, 16),
        (32, 32, 4, 32),
        (0, 32, 4, 8),  # a quarter
        (0, 36, 4, 12),  # a quarter is 9, which is no multiple
        (0, 8, 4, 4),  # one multiple
        (1, 3, 4, 3),  # less than one multiple
        (9, 10, 4, 8),
        (10, 10, 4, 10),
        (10, 10, 8, 8),
    ],
)
def test_how_many_channels_stay(wanted, channels, round_to, stay):
    assert kept(wanted, channels, round_to) == stay


def planted(make_weak):
    """A network whose first body layer has 8 channels that `make_weak` has marked as useless."""
    torch.manual_seed(0)
    model = build(SRNetShape(width=16, blocks=2))
    first, second = model.body[0][0], model.body[1][0]
    with torch.no_grad():
        for conv in convolutions(model):
            conv.weight.uniform_(0.5, 1.0).mul_(torch.randn_like(conv.weight).sign())
        make_weak(first.weight[::2], second.weight[:, ::2])
        for index in range(16):
            first.bias[index] = index  # tells afterwards who is left
    return model


def survivors(model, importance, budget=0.7):
    pruned = prune(model, budget, importance, gradients=gradients)
    return {int(bias) for bias in pruned.body[0][0].bias.round()}


def weak_filters(made, read):
    made.mul_(0.01)


def unread(made, read):
    read.mul_(0.0)


def few_large_many_small(made, read):
    """L1 takes these filters for weaker than the others, L2 for stronger."""
    made.zero_()
    made[:, 0, 0, 0] = 40.0


ODD, EVEN = set(range(1, 16, 2)), set(range(0, 16, 2))


@pytest.mark.parametrize(
    ("importance", "weak"),
    [
        ("l1", weak_filters),
        ("l2", weak_filters),
        ("l1", few_large_many_small),
        ("group", weak_filters),
        ("taylor", unread),  # nothing that follows depends on them
    ],
)
def test_the_weak_channels_go_first(importance, weak):
    assert ODD <= survivors(planted(weak), importance) < ODD | EVEN


def test_the_criteria_are_not_the_same():
    assert not EVEN - survivors(planted(few_large_many_small), "l2", 0.4)
    # A filter's norm does not tell whether anybody reads the channel.
    assert ODD - survivors(planted(unread), "l2", 0.4)


def test_a_residual_trunk_is_judged_by_all_layers_that_make_it():
    """Channels 8..15 are weak in all four layers that add to the trunk; of 0..7 each layer makes
    two all but vanish, and the others make up for it."""
    torch.manual_seed(0)
    model = build(SRGANShape(width=16, blocks=2))
    makers = [model.head[0], *(block.layers[3] for block in model.blocks), model.merge[0]]
    with torch.no_grad():
        for index, maker in enumerate(makers):
            nn.init.ones_(maker.weight)
            maker.weight[8:] *= 0.5
            maker.weight[2 * index : 2 * index + 2] *= 0.1
        model.head[0].bias.copy_(torch.arange(16))
    pruned = prune(model, 0.6, "l2")
    assert set(range(8)) <= {int(bias) for bias in pruned.head[0].bias.round()}
    assert pruned.head[0].out_channels < 16


def test_random_is_a_control_that_repeats():
    torch.manual_seed(0)
    model = build(SRNetShape(width=16, blocks=2))
    torch.manual_seed(1)
    first = prune(model, 0.6, "random").state_dict()
    drawn = torch.rand(1)
    torch.manual_seed(2)
    again = prune(model, 0.6, "random").state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)  # and the global generator is left alone


def test_what_cannot_be_is_said():
    model = build(SRNetShape(width=8, blocks=1))
    with pytest.raises(TrainingError, match="nearest is 'taylor'"):
        prune(model, 0.5, "tailor")
    with pytest.raises(TrainingError, match="needs gradients"):
        prune(model, 0.5, "taylor")
    with pytest.raises(TrainingError, match=r"cannot reach 5% .* \d\d% are left"):
        prune(model, 0.05)
