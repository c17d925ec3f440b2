"""The loop: its formulas, what it leaves, and how it stops when something is wrong."""

import json
import math

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from draws import Draws
from scanside.runtime.errors import ArchitectureError, LossError, OutOfMemoryError
from scanside.train import fit as fitting
from scanside.train.curves import plot_curves
from scanside.train.ema import Average
from scanside.train.fit import fit, rate_at
from scanside.train.journal import Journal, Step, read_journal
from scanside.train.loss import DIFFERENCES, loss_of, penalty
from scanside.train.models.srnet import SRNet
from scanside.train.models.unet import UNet
from scanside.train.sampler import Batch
from scanside.train.stage import Options, Stage
from scanside.train.throughput import measure_throughput

EXACT = Options(precision="32")


def network() -> UNet:
    torch.manual_seed(0)
    return UNet((8, 16)).train()


class StoppedError(Exception):
    pass


def stop_at(when: int):
    def switch(step: int) -> None:
        if step == when:
            raise StoppedError

    return switch


@pytest.mark.parametrize("loss", ["l2", "l1"])
def test_the_loss_is_its_formula(loss):
    batch = Draws().batch(0, 0)
    model = network().eval()
    with torch.no_grad():
        residual = model(batch.image).numpy().astype(np.float64)[:, 0]
        found = float(loss_of(model, batch, loss))
    error, weight, emphasis = (part.numpy().astype(np.float64) for part in batch[1:4])
    left = weight * residual + error
    expected = np.mean(left**2 * emphasis if loss == "l2" else np.abs(left) * np.sqrt(emphasis))
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_rate_warms_up_and_falls_to_nothing():
    stage = Stage("stage", 0, 1000, 2e-3)
    rates = [rate_at(stage, step) for step in range(1000)]
    assert rates[0] == pytest.approx(2e-3 / 50)
    assert rates[0] < rates[20] < max(rates) == pytest.approx(2e-3, rel=0.01)
    assert rates[525] == pytest.approx(1e-3)
    assert rates[-1] < 1e-6


def test_the_contrast_loss_adds_what_pairs_do_not_share():
    batch = Draws(rows=2, even=True).batch(0, 0)
    same = Batch(*(one[[0, 0]] for one in batch))
    nothing = torch.zeros_like(same.error)
    shared = penalty(nothing + 0.1, same, "l2 and contrast")
    assert shared == pytest.approx(penalty(nothing + 0.1, same, "l2"))
    faded = nothing.clone()
    faded[0] -= 0.1  # of a lesion everywhere
    weights = sum(weight for _, weight in DIFFERENCES)
    expected = (0.5 + weights) * 0.1**2 * 400
    assert penalty(faded, same, "l2 and contrast") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", ["l2", "l1"])
def test_training_lowers_the_loss(tmp_path, loss):
    model, draws = network(), Draws()
    batch = draws.batch(9, 0)
    before = loss_of(model, batch, loss).item()
    fit(model, draws, Stage("stage", 0, 40, 3e-3, loss=loss), tmp_path)
    assert loss_of(model, batch, loss).item() < 0.7 * before


def test_super_resolution_trains_too(tmp_path):
    draws = Draws(scale=2)
    fit(SRNet(8, 1).train(), draws, Stage("stage", 0, 4, 1e-3), tmp_path, Options(panels=True))
    assert len(read_journal(tmp_path)["stage"]) == 4


def test_batches_come_in_order_and_none_is_made_in_vain(tmp_path):
    draws = Draws()
    fit(network(), draws, Stage("stage", 0, 7, 1e-3), tmp_path)
    assert draws.asked == list(range(7))


def test_the_average_is_its_formula():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    average = Average(model, 0.6)
    names = [name for name, value in model.state_dict().items() if value.is_floating_point()]
    expected = {}
    for step in range(12):
        with torch.no_grad():
            for name in names:
                model.state_dict()[name].copy_(torch.randn_like(model.state_dict()[name]))
        average.update(model)
        decay = min(0.6, (1 + step) / (10 + step)) if step else 0.0
        for name in names:
            value = model.state_dict()[name].double()
            expected[name] = decay * expected.get(name, value) + (1 - decay) * value
    for name in names:
        found = average.model.state_dict()[name].double()
        torch.testing.assert_close(found, expected[name], rtol=1e-5, atol=1e-6)


def test_the_model_left_behind_is_the_average(tmp_path, monkeypatch):
    seen = []

    class Watched(Average):
        def update(self, model):
            super().update(model)
            seen.append({name: value.clone() for name, value in self.model.state_dict().items()})

    monkeypatch.setattr(fitting, "Average", Watched)
    model = network()
    fit(model, Draws(), Stage("stage", 0, 5, 1e-3), tmp_path, EXACT._replace(ema=0.9))
    assert len(seen) == 5
    assert all(torch.equal(value, seen[-1][name]) for name, value in model.state_dict().items())


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 2)
    model = network()

    def poison(step: int) -> None:
        if step == 5:
            nn.init.constant_(model.last.bias, float("nan"))

    with pytest.raises(
        LossError, match=r"stage drift .* step 5 \(batch \(stage 3, step 5\)"
    ) as caught:
        fit(model, Draws(), Stage("drift", 3, 9, 1e-3, poison), tmp_path, EXACT)
    assert "rate" in caught.value.next_step
    saved = torch.load(tmp_path / "checkpoints" / "drift.part.pt", weights_only=True)
    assert saved["step"] == 4
    assert all(torch.isfinite(one).all() for one in saved["learner"]["model"].values())
    assert "drift.part.pt" in caught.value.next_step
    assert list(read_journal(tmp_path)["drift"]) == list(range(5))


def test_a_gradient_that_is_not_finite_is_never_applied(tmp_path):
    model = network()
    model.last.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = {name: value.clone() for name, value in model.named_parameters()}
    with pytest.raises(LossError, match="step 0"):
        fit(model, Draws(), Stage("stage", 0, 5, 1e-3), tmp_path, EXACT)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())


def test_a_batch_that_is_not_finite_is_blamed(tmp_path):
    class Broken(Draws):
        def batch(self, stage, step):
            batch = super().batch(stage, step)
            if step == 1:
                batch.error[0, 0, 0] = float("inf")
            return batch

    with pytest.raises(LossError, match=r"batch \(stage 0, step 1\) is not finite either"):
        fit(network(), Broken(), Stage("stage", 0, 5, 1e-3), tmp_path)


class Greedy(UNet):
    """Has memory for a batch of so many pixels a side, and no more."""

    def __init__(self, most: int, error: Exception) -> None:
        super().__init__((8, 16))
        self.most, self.error = most, error

    def forward(self, image):
        if image.shape[-1] > self.most:
            raise self.error
        return super().forward(image)


FULL = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")


@pytest.mark.parametrize("error", [FULL, MemoryError(), torch.cuda.OutOfMemoryError("full")])
def test_out_of_memory_says_which_patch_fits(tmp_path, error):
    stage = Stage("stage", 0, 5, 1e-3)
    with pytest.raises(OutOfMemoryError, match="4 patches of 64 x 64") as caught:
        fit(Greedy(20, error).train(), Draws(side=64), stage, tmp_path)
    assert "crop = 16" in caught.value.next_step


def test_out_of_memory_when_nothing_fits(tmp_path):
    with pytest.raises(OutOfMemoryError) as caught:
        fit(Greedy(0, FULL).train(), Draws(), Stage("stage", 0, 5, 1e-3), tmp_path)
    assert "no patch fits" in caught.value.next_step


def test_other_errors_pass(tmp_path):
    model = Greedy(0, RuntimeError("another")).train()
    with pytest.raises(RuntimeError, match="another"):
        fit(model, Draws(), Stage("stage", 0, 5, 1e-3), tmp_path)


def test_early_stop_keeps_the_best_and_says_so(tmp_path):
    scores = iter([3.0, 1.0, 2.0, 2.0, 0.0])
    seen, said = [], []

    def validate(model: nn.Module) -> float:
        assert not model.training
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return next(scores)

    model = network()
    options = Options(patience=2, validate=validate, say=said.append)
    fit(model, Draws(), Stage("stage", 0, 20, 1e-3), tmp_path, options)
    assert len(seen) == 4
    assert model.training
    assert all(torch.equal(value, seen[1][name]) for name, value in model.state_dict().items())
    steps = read_journal(tmp_path)["stage"]
    assert max(steps) == 7
    assert steps[7].note == "stopped early, the best was step 3"
    assert said == ["stage stage stopped early, the best was step 3 (at step 7 of 20)"]


def test_early_stop_on_the_training_loss(tmp_path):
    model = network()
    fit(model, Draws(), Stage("stage", 0, 40, 0.0), tmp_path, EXACT._replace(patience=2))
    losses = {number: step.loss for number, step in read_journal(tmp_path)["stage"].items()}
    means = [
        np.mean([losses[4 * tenth + n] for n in range(4)]) for tenth in range(len(losses) // 4)
    ]
    best = int(np.argmin(means))
    assert len(means) in (best + 3, 10)


@pytest.mark.parametrize("damage", ["torn", "flipped", "foreign"])
def test_a_damaged_checkpoint_starts_the_stage_again(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 2)
    whole = tmp_path / "whole"
    whole.mkdir()
    reference = network()
    fit(reference, Draws(), Stage("stage", 0, 6, 1e-3), whole, EXACT)
    with pytest.raises(StoppedError):
        fit(network(), Draws(), Stage("stage", 0, 6, 1e-3, stop_at(5)), tmp_path, EXACT)
    partial = tmp_path / "checkpoints" / "stage.part.pt"
    data = bytearray(partial.read_bytes())
    if damage == "foreign":
        torch.save({"step": 3}, partial)
    else:
        data[len(data) // 2] ^= 0xFF
        partial.write_bytes(data if damage == "flipped" else data[: len(data) // 2])
    said: list[str] = []
    model = network()
    fit(model, Draws(), Stage("stage", 0, 6, 1e-3), tmp_path, EXACT._replace(say=said.append))
    assert said == ["stage.part.pt is damaged: stage stage starts again from its beginning"]
    weights = reference.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    lines = (tmp_path / "metrics.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(6))


def test_a_checkpoint_of_another_network_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 2)
    with pytest.raises(StoppedError):
        fit(network(), Draws(), Stage("stage", 0, 6, 1e-3, stop_at(3)), tmp_path)
    with pytest.raises(ArchitectureError, match=r"stage\.part\.pt"):
        fit(UNet((8, 8)).train(), Draws(), Stage("stage", 0, 6, 1e-3), tmp_path)


def test_checkpoints_come_by_the_clock_too(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(StoppedError):
        fit(network(), Draws(), Stage("stage", 0, 6, 1e-3, stop_at(3)), tmp_path)
    saved = torch.load(tmp_path / "checkpoints" / "stage.part.pt", weights_only=True)
    assert saved["step"] == 3


def test_tensorboard_and_curves(tmp_path):
    fit(network(), Draws(), Stage("one", 0, 20, 1e-3), tmp_path, Options(panels=True))
    fit(network(), Draws(), Stage("two", 0, 10, 1e-3), tmp_path)
    logs = EventAccumulator(str(tmp_path / "tensorboard" / "one"))
    logs.Reload()
    assert logs.Tags()["images"] == ["patch"]
    assert [point.step for point in logs.Scalars("loss")] == [9, 19]
    assert logs.Scalars("rate")[0].value == pytest.approx(rate_at(Stage("", 0, 20, 1e-3), 9))
    assert logs.Scalars("images per second")[0].value > 0
    plot_curves(tmp_path)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_resumed_journal_has_every_step_once(tmp_path):
    for stage, first, last in (("one", 0, 3), ("two", 0, 5), ("two", 3, 6)):
        with Journal(tmp_path, stage, first) as journal:
            for step in range(first, last):
                journal.write(Step(stage, step, float(first), 1e-3), 4)
        with (tmp_path / "metrics.jsonl").open("ab") as log:
            log.write(b'{"stage":"two","st')  # the power goes
    with Journal(tmp_path, "three", 0):
        pass
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_bytes().splitlines()]
    assert [(line["stage"], line["step"]) for line in lines] == [
        *(("one", step) for step in range(3)),
        *(("two", step) for step in range(6)),
    ]
    assert [line["loss"] for line in lines[3:]] == [0, 0, 0, 3, 3, 3]


def test_throughput_is_measured():
    loop, bare = measure_throughput(network(), Draws(), Stage("stage", 0, 0, 1e-3), 5)
    assert 0 < loop < math.inf  # how fast is for `bench training` to say
    assert 0 < bare < math.inf
