"""What holds for every architecture: shapes, reach, folding, rebuilding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scanside.runtime.errors import ArchitectureError
from scanside.train.models import build, fuse_batch_norm, rebuild
from scanside.train.models.network import RESIDUAL_SCALE
from scanside.train.prune import prune
from scanside.train.recipe import MonaiUNetShape, SRGANShape, SRNetShape, UNetShape

pytestmark = pytest.mark.usefixtures("one_thread")


def output(model, image):
    with torch.no_grad():
        return model(image)


def test_the_residual_has_the_size_of_the_result(shape, looks_trained):
    model = looks_trained(shape)
    rows, columns = 5 * model.multiple_of, 8 * model.multiple_of
    residual = output(model, torch.rand(2, 1, rows, columns))
    assert residual.shape == (2, 1, model.scale * rows, model.scale * columns)
    assert residual.dtype == torch.float32


def test_before_training_next_to_nothing_is_changed(shape):
    torch.manual_seed(0)
    assert output(build(shape).train(), torch.rand(2, 1, 32, 32)).abs().max() < 4 * RESIDUAL_SCALE


def all_paths_open(model):
    """Positive weights and statistics of zero: no ReLU closes and nothing cancels, so that every
    gradient that can flow does."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.weight.abs_().mul_(0.1)
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
    return model.double()


@pytest.mark.parametrize(
    ("shape", "slack"),
    [
        # Pooling passes one gradient of four, and no phase of the grid is the worst at every level.
        (UNetShape(widths=(4, 4)), 2),
        (UNetShape(widths=(4, 4, 4)), 6),
        (MonaiUNetShape(widths=(2, 2, 2), units=1), 4),
        (MonaiUNetShape(widths=(2, 2, 2), units=2), 5),
        (MonaiUNetShape(widths=(2, 2), units=3), 3),
        (SRNetShape(width=4, blocks=3), 0),
        (SRGANShape(width=4, blocks=2), 0),
    ],
)
def test_the_receptive_field_is_as_far_as_gradients_reach(shape, slack, looks_trained):
    model = all_paths_open(looks_trained(shape))
    side, centre, scale = 112, 56, model.scale
    furthest = 0
    for phase in range(model.multiple_of * scale):
        place = centre * scale + phase
        for seed in range(3 if isinstance(shape, UNetShape) else 1):
            torch.manual_seed(seed)
            image = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
            model(image)[0, 0, place, place].backward()
            _, _, *reached = image.grad.nonzero(as_tuple=True)
            furthest = max(
                furthest, *(int((axis - place // scale).abs().max()) for axis in reached)
            )
    assert furthest <= model.receptive_field <= furthest + slack
    assert model.receptive_field % model.multiple_of == 0


def test_folding_batch_norm_keeps_the_function(shape, looks_trained):
    model = looks_trained(shape)
    image = torch.rand(2, 1, 32, 48)
    fused = fuse_batch_norm(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    torch.testing.assert_close(output(fused, image), output(model, image), atol=1e-5, rtol=1e-4)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert (norms == 0) == isinstance(shape, SRNetShape)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model,
        lambda model: prune(model, 0.7),
        fuse_batch_norm,
        lambda model: fuse_batch_norm(prune(model, 0.7)),
    ],
    ids=["whole", "pruned", "fused", "pruned and fused"],
)
def test_a_state_dict_is_enough_to_rebuild_the_network(shape, change, looks_trained):
    model = change(looks_trained(shape)).eval()
    rebuilt = rebuild(shape, model.state_dict()).eval()
    image = torch.rand(1, 1, 32, 32)
    assert torch.equal(output(rebuilt, image), output(model, image))
    # It owns its weights: training it does not change the checkpoint.
    pairs = zip(rebuilt.parameters(), model.state_dict(keep_vars=True).values(), strict=False)
    assert all(own.data_ptr() != other.data_ptr() for own, other in pairs)


@pytest.mark.parametrize(
    ("expected", "other", "words"),
    [
        (UNetShape(), SRNetShape(), "'sr net', not the network 'unet'"),
        (SRGANShape(), SRNetShape(), "'sr net', not the network 'srgan'"),
        (SRNetShape(), SRGANShape(blocks=1), "'srgan', not the network 'sr net'"),
        (MonaiUNetShape(), UNetShape(), "'unet', not the network 'monai unet'"),
        (UNetShape(), UNetShape(widths=(16, 32)), "'unet' of other layers"),
        (SRGANShape(), SRGANShape(prelu=False), "'srgan' of other layers"),
    ],
)
def test_another_architectures_state_is_refused(expected, other, words):
    with pytest.raises(ArchitectureError, match=words):
        rebuild(expected, build(other).state_dict())


def test_what_is_no_checkpoint_is_refused():
    with pytest.raises(ArchitectureError, match="an unknown network"):
        rebuild(UNetShape(), {"weight": torch.zeros(3)})
    wrong = build(SRNetShape(width=4, blocks=1)).state_dict()
    wrong["head.0.weight"] = torch.zeros(4, 1, 5, 5)
    with pytest.raises(ArchitectureError, match="other layers"):
        rebuild(SRNetShape(width=4, blocks=1), wrong)
