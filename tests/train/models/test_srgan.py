"""The generator and the discriminator are the paper's: Ledig et al. 2017, figure 4."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scanside.train.models.discriminator import Discriminator
from scanside.train.models.srgan import SRGAN

pytestmark = pytest.mark.usefixtures("one_thread")


def layers(model, kind):
    return [module for module in model.modules() if isinstance(module, kind)]


def test_the_generator_is_the_papers():
    model = SRGAN()
    convolutions = layers(model, nn.Conv2d)
    assert [conv.kernel_size[0] for conv in convolutions] == [9, *[3] * 34, 9]
    assert [conv.out_channels for conv in convolutions] == [*[64] * 34, 256, 1]
    assert len(layers(model, nn.BatchNorm2d)) == 33  # two per block and one before the long skip
    assert len(layers(model, nn.PReLU)) == 18  # head, one per block, one after the pixel shuffle
    assert [shuffle.upscale_factor for shuffle in layers(model, nn.PixelShuffle)] == [2]
    assert model.receptive_field == 40
    assert not layers(SRGAN(prelu=False), nn.PReLU)


def test_blocks_add_to_their_input_and_the_long_skip_to_the_head():
    """With the weights of what is added at zero, only the skips are left."""
    torch.manual_seed(0)
    model = SRGAN(8, 2).eval()
    image = torch.rand(1, 1, 8, 8)
    with torch.no_grad():
        for block in model.blocks:
            block.layers[-1].weight.zero_()
        head = model.head(image)
        assert torch.equal(model.blocks(head), head)
        model.merge[-1].weight.zero_()
        assert torch.equal(model(image), model.tail(model.upsample(head)))


def test_the_discriminator_is_the_papers():
    model = Discriminator()
    convolutions = layers(model, nn.Conv2d)
    assert [conv.out_channels for conv in convolutions] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert [conv.stride[0] for conv in convolutions] == [1, 2, 1, 2, 1, 2, 1, 2]
    assert [dense.out_features for dense in layers(model, nn.Linear)] == [1024, 1]
    assert len(layers(model, nn.BatchNorm2d)) == 7
    assert {relu.negative_slope for relu in layers(model, nn.LeakyReLU)} == {0.2}


@pytest.mark.parametrize("side", [(16, 16), (96, 96), (33, 70)])
def test_the_discriminator_takes_any_size_and_gives_logits(side):
    model = Discriminator(4).eval()
    with torch.no_grad():
        logits = model(torch.rand(3, 1, *side))
    assert logits.shape == (3, 1)


def test_the_discriminator_can_learn():
    torch.manual_seed(0)
    model = Discriminator(4).train()
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    loss_of = nn.functional.binary_cross_entropy_with_logits
    for _ in range(20):
        noisy, flat = torch.rand(8, 1, 16, 16), torch.rand(8, 1, 1, 1).expand(8, 1, 16, 16)
        logits = model(torch.cat([noisy, flat]))
        loss = loss_of(logits, torch.cat([torch.ones(8, 1), torch.zeros(8, 1)]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.4  # 0.69 is guessing
