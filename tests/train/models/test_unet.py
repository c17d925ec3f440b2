"""The network's shape, its reach, and that folding and rebuilding change nothing."""

import pytest
import torch

from scanside.train.models.unet import UNet, fuse_batch_norm
from scanside.train.prune import macs, prune
from tiny import trained_looking


@pytest.mark.parametrize("widths", [(16, 16), (16, 32, 64)])
def test_no_output_depends_on_pixels_beyond_the_receptive_field(widths):
    model = trained_looking(widths)
    reach, side = model.receptive_field, 128
    image = torch.rand(1, 1, side, side)
    furthest = 0
    for row in range(60, 60 + model.multiple_of):  # every phase of the pooling grid
        changed = image.clone()
        changed[0, 0, row, row] += 10
        with torch.no_grad():
            moved = (model(changed) - model(image))[0, 0].abs() > 0
        rows, columns = moved.nonzero(as_tuple=True)
        furthest = max(furthest, int((rows - row).abs().max()), int((columns - row).abs().max()))
    assert furthest <= reach
    assert furthest > reach - 3 * model.multiple_of - 2  # and it is not just a large number


def test_folding_batch_norm_keeps_the_function():
    model = trained_looking((16, 32))
    image = torch.rand(2, 1, 32, 48)
    fused = fuse_batch_norm(model)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fused.modules())
    with torch.no_grad():
        assert torch.allclose(model(image), fused(image), atol=1e-5)


@pytest.mark.parametrize("change", [lambda m: m, lambda m: prune(m, 0.6), fuse_batch_norm])
def test_a_state_dict_is_enough_to_rebuild_the_network(change):
    model = change(trained_looking((16, 32))).eval()
    rebuilt = UNet.from_state(model.state_dict()).eval()
    image = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(image), rebuilt(image))


def test_macs_are_counted_right():
    # Two levels of 16, per full-resolution pixel: encoder 9*16 + 9*16*16; below, at a quarter:
    # two of 9*16*16 and the narrowing one; decoder 9*32*16 + 9*16*16; last 16. Batch norm is the
    # few per cent above that.
    conv = 9 * 16 * 16
    per_pixel = 9 * 16 + conv + 3 * conv / 4 + 2 * conv + conv + 16
    assert macs(UNet((16, 16)), side=64) == pytest.approx(per_pixel * 64 * 64, rel=0.03)


@pytest.mark.parametrize("budget", [0.3, 0.5, 0.8])
def test_pruning_meets_its_budget_and_not_by_far(budget):
    model = trained_looking((16, 32, 64))
    share = macs(prune(model, budget)) / macs(model)
    assert budget - 0.15 < share <= budget
