"""Number formats: chosen by the hardware, exact at both ends, and gone when the stage is over."""

import copy

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from draws import Draws
from scanside.runtime.errors import TrainingError
from scanside.train.fit import Descent, fit
from scanside.train.models.discriminator import Discriminator
from scanside.train.models.monai_unet import MonaiUNet
from scanside.train.models.srgan import SRGAN
from scanside.train.models.srnet import SRNet
from scanside.train.models.unet import UNet
from scanside.train.precision import (
    _ends,
    _Mixed,
    arithmetic,
    choose_precision,
    make_fabric,
    scaler_of,
)
from scanside.train.stage import Options, Stage


def network() -> UNet:
    torch.manual_seed(0)
    return UNet((8, 16)).train()


@pytest.mark.parametrize(
    ("avx", "amx", "chosen"),
    [(True, False, "bf16"), (False, True, "bf16"), (False, False, "32")],
)
def test_auto_on_a_cpu(monkeypatch, avx, amx, chosen):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert choose_precision("auto", "cpu") == chosen


def test_auto_without_torchs_private_checks(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert choose_precision("auto", "cpu") == "32"


@pytest.mark.parametrize(("supported", "chosen"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_a_gpu(monkeypatch, supported, chosen):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert choose_precision("auto", "cuda") == chosen


@pytest.mark.parametrize("name", ["fp16", "64"])
def test_a_precision_that_cannot_be_is_refused(name):
    with pytest.raises(TrainingError, match=name):
        choose_precision(name, "cpu")


def test_the_ends_compute_in_float32_on_the_exact_image(tmp_path):
    model, seen = network(), {}

    def watch(name):
        def hook(module, inputs, output):
            seen.setdefault(name, []).append((inputs[0].detach().clone(), output.dtype))

        return hook

    convolutions = {
        name: part for name, part in model.named_modules() if isinstance(part, nn.Conv2d)
    }
    for name, part in convolutions.items():
        part.register_forward_hook(watch(name))
    fit(model, Draws(), Stage("stage", 0, 1, 1e-3), tmp_path, Options(precision="bf16"))
    dtypes = {name: calls[0][1] for name, calls in seen.items()}
    ends = {"encoders.0.0", "last"}
    assert {name for name, dtype in dtypes.items() if dtype == torch.float32} == ends
    assert all(dtypes[name] == torch.bfloat16 for name in dtypes.keys() - ends)
    assert torch.equal(seen["encoders.0.0"][0][0], Draws().batch(0, 0).image)


@pytest.mark.parametrize(
    ("model", "ends"),
    [
        (SRNet(8, 2), {"head.0", "last"}),
        (SRGAN(8, 1), {"head.0", "tail"}),
        (MonaiUNet((8, 16)), {"body.model.0.conv.unit0.conv", "body.model.0.residual", "last"}),
    ],
    ids=["srnet", "srgan", "monai"],
)
def test_the_ends_of_every_network(model, ends):
    names = {id(part): name for name, part in model.named_modules()}
    assert {names[id(part)] for part in _ends(model)} == ends
    assert _ends(Discriminator(8))[0].in_channels == 1


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_nothing_of_it_stays(tmp_path, precision):
    model = network()
    fit(model, Draws(), Stage("stage", 0, 3, 1e-3), tmp_path, Options(precision=precision))
    assert all("forward" not in vars(part) for part in model.modules())
    assert all(value.is_contiguous() for value in model.state_dict().values())
    assert all(value.dtype == torch.float32 for value in model.parameters())
    image = torch.rand(2, 1, 32, 32)
    exported = torch.export.export(model.eval(), (image,)).module()
    torch.testing.assert_close(exported(image), model(image))


def test_nothing_of_it_stays_after_an_error():
    model, fabric = network(), make_fabric("bf16", nn.Identity())
    with pytest.raises(ZeroDivisionError), arithmetic(model, fabric):
        raise ZeroDivisionError
    assert all("forward" not in vars(part) for part in model.modules())


def test_a_copy_computes_with_its_own_weights():
    model, fabric = network().eval(), make_fabric("bf16", nn.Identity())
    image = torch.rand(1, 1, 32, 32)
    with arithmetic(model, fabric), torch.no_grad():
        twin = copy.deepcopy(model)
        expected = model(image)
        for value in model.parameters():
            value.zero_()
        torch.testing.assert_close(twin(image), expected)


def test_bf16_follows_float32(tmp_path):
    losses = {}
    for precision in ("32", "bf16"):
        model, folder = network(), tmp_path / precision
        folder.mkdir()
        fit(model, Draws(), Stage("stage", 0, 30, 3e-3), folder, Options(precision=precision))
        with torch.no_grad():
            batch = Draws().batch(5, 0)
            losses[precision] = float((model(batch.image)[:, 0] + batch.error).square().mean())
    assert losses["bf16"] == pytest.approx(losses["32"], rel=0.1)


def test_a_graph_for_quantisation_trains_in_float32():
    graph = torch.export.export(network().eval(), (torch.rand(1, 1, 32, 32),)).module()
    assert make_fabric("bf16", graph).strategy.precision.precision == "32-true"
    assert make_fabric("bf16", network()).strategy.precision.precision == "bf16-mixed"


def half_precision() -> Fabric:
    """As on a GPU without bf16; torch can do it on a CPU, slowly."""
    return Fabric(accelerator="cpu", devices=1, plugins=[_Mixed("16-mixed", "cpu")])


def test_fp16_skips_a_step_that_overflows_and_scales_less():
    fabric, model, batch = half_precision(), network(), Draws().batch(0, 0)
    with arithmetic(model, fabric):
        learner = Descent(fabric, model, Stage("stage", 0, 9, 1e-3))
        scaler = scaler_of(fabric)
        before = [value.detach().clone() for value in model.parameters()]
        assert learner.step(batch, 1e-3).loss > 0
        assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
        scale = scaler.get_scale()
        before = [value.detach().clone() for value in model.parameters()]
        model.last.weight.register_hook(lambda gradient: gradient * float("inf"))
        learner.step(batch, 1e-3)
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
        assert scaler.get_scale() == scale / 2
        while scaler.get_scale() > 1:
            learner.step(batch, 1e-3)
        with pytest.raises(FloatingPointError):
            learner.step(batch, 1e-3)
