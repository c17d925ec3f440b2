"""The loop: it learns, and a stopped run goes on as if it had never stopped."""

import pytest
import torch

from scanside.runtime.errors import TrainingError
from scanside.train import fit as fitting
from scanside.train.bank import Sampler, make_bank, phantom_slices
from scanside.train.fit import Stage, fit, rate_at
from scanside.train.models.unet import UNet
from scanside.train.qat import Frozen, prepare
from tiny import TINY


@pytest.fixture(scope="module")
def sampler():
    return Sampler(TINY, make_bank(TINY, phantom_slices(TINY, 2, 0)))


def network() -> UNet:
    torch.manual_seed(0)
    return UNet((8, 8)).train()


class StoppedError(Exception):
    pass


def stopping_at(when: int, otherwise=lambda step: None):
    def switch(step: int) -> None:
        if step == when:
            raise StoppedError
        otherwise(step)

    return switch


@pytest.mark.parametrize("quantised", [False, True])
def test_a_stopped_stage_resumes_exactly(sampler, tmp_path, monkeypatch, quantised):
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 4)

    def model_and_freeze():
        if not quantised:
            return network(), lambda step: None
        prepared = prepare(network())
        return prepared, Frozen(prepared, 10)  # freezes at step 5: after a checkpoint

    results = []
    for name, stops in (("whole", [None]), ("stopped", [6, 9, None])):
        folder = tmp_path / name
        folder.mkdir()
        for stop in stops:
            model, freeze = model_and_freeze()
            switch = freeze if stop is None else stopping_at(stop, freeze)
            stage = Stage("stage", 0, 10, 1e-3, switch)
            if stop is None:
                fit(model, sampler, stage, folder)
            else:
                with pytest.raises(StoppedError):
                    fit(model, sampler, stage, folder)
        results.append(model.state_dict())
    whole, resumed = results
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_training_lowers_the_loss(sampler, tmp_path):
    model = network()
    batch = sampler.batch(9, 0)
    before = fitting.loss_of(model, batch, sampler.span).item()
    fit(model, sampler, Stage("stage", 0, 40, 3e-3), tmp_path)
    assert fitting.loss_of(model, batch, sampler.span).item() < 0.9 * before


def test_a_loss_that_is_not_finite_stops_the_run(sampler, tmp_path):
    model = network()
    torch.nn.init.constant_(model.last.bias, float("nan"))
    with pytest.raises(TrainingError, match="step 0"):
        fit(model, sampler, Stage("stage", 0, 5, 1e-3), tmp_path)


def test_the_rate_warms_up_and_falls_to_nothing():
    stage = Stage("stage", 0, 1000, 2e-3)
    rates = [rate_at(stage, step) for step in range(1000)]
    assert rates[0] < rates[20] < max(rates) == pytest.approx(2e-3, rel=0.01)
    assert rates[-1] < 1e-6
