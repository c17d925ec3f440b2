"""Each quantised layer alone: the one that is made bad on purpose is found."""

from __future__ import annotations

import pytest
import torch
import torchao.quantization.pt2e as pt2e

from scanside.train.models import fuse_batch_norm
from scanside.train.qat import freeze_ranges, prepare
from scanside.train.recipe import SRNetShape, UNetShape
from scanside.train.sensitivity import layer_sensitivity

pytestmark = pytest.mark.usefixtures("one_thread")


def shown(model):
    prepared = prepare(model)
    torch.manual_seed(1)
    prepared.apply(pt2e.disable_fake_quant)  # the ranges of float values
    prepared(torch.rand(2, 1, 64, 64))
    prepared.apply(pt2e.enable_fake_quant)
    freeze_ranges(prepared)
    return prepared


def closeness(model):
    """-1 times the error against the float network, in shares of its residual."""
    image = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        exact = fuse_batch_norm(model)(image)
    return lambda network: -float((network(image) - exact).norm() / exact.norm())


def test_every_quantised_convolution_is_measured_once_by_its_path(looks_trained):
    model = looks_trained(UNetShape(widths=(16, 32)))
    found = layer_sensitivity(shown(model), closeness(model))
    paths = ["encoders.1.0", "encoders.1.3", "narrow.0.0", "decoders.0.0", "decoders.0.3"]
    assert [layer.name for layer in found] == paths
    assert all(isinstance(model.get_submodule(path), torch.nn.Conv2d) for path in paths)
    # Float is exact, so what is lost is all there is.
    assert all(layer.drop == pytest.approx(-layer.quality, abs=1e-6) for layer in found)
    assert all(0 < layer.drop < 0.1 for layer in found)


def test_a_layer_that_int8_cannot_hold_stands_out(looks_trained):
    """In every filter one weight a thousand times the others: their scale rounds these to zero."""
    model = looks_trained(SRNetShape(width=16, blocks=3))
    bad = "body.1.0"
    with torch.no_grad():
        weight = model.get_submodule(bad).weight
        weight[:, 0, 0, 0] = 1000 * weight.abs().max()
        # What the large weights read is nothing, so that they change no result.
        model.get_submodule("body.0.0").weight[0] = 0
        model.get_submodule("body.0.0").bias[0] = 0
    found = layer_sensitivity(shown(model), closeness(model))
    drops = {layer.name: layer.drop for layer in found}
    assert max(drops, key=drops.get) == bad
    assert drops[bad] > 10 * max(drop for name, drop in drops.items() if name != bad)


def test_the_prepared_network_is_left_as_it_was(looks_trained):
    model = looks_trained(SRNetShape(width=8, blocks=1))
    prepared = prepare(model)
    prepared(torch.rand(2, 1, 64, 64))
    before = {name: value.clone() for name, value in prepared.state_dict().items()}

    def fails(network):
        network(5 * torch.rand(1, 1, 32, 32))  # would move the ranges
        raise ZeroDivisionError

    layer_sensitivity(prepared, lambda network: float(network(torch.rand(1, 1, 32, 32)).sum()))
    with pytest.raises(ZeroDivisionError):
        layer_sensitivity(prepared, fails)
    after = prepared.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
