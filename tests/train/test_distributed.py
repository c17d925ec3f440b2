"""Two processes that torchrun started do what one does.

Run as a script this file is what each of them executes.
"""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from draws import Draws
from scanside.runtime.errors import TrainingError
from scanside.train.adversarial import fit_adversarial
from scanside.train.fit import fit
from scanside.train.journal import read_journal, save_state
from scanside.train.models.discriminator import Discriminator
from scanside.train.models.srnet import SRNet
from scanside.train.models.unet import UNet
from scanside.train.precision import arithmetic, make_fabric
from scanside.train.stage import Options, Stage

STEPS = 6
ROWS = 5  # does not divide by two
PAIRS = 6  # three pairs: neither do they
CASES = ("batch-norm", "plain", "duel", "pairs")
OPTIONS = Options(precision="32", ema=0.9)


def train(case: str, folder: Path) -> nn.Module:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    stage = Stage("stage", 0, STEPS, 1e-3)
    if case == "plain":
        model: nn.Module = SRNet(8, 1).train()
        fit(model, Draws(rows=ROWS, scale=2), stage, folder, OPTIONS)
        return model
    model = UNet((8, 16)).train()
    if case == "pairs":
        fit(model, Draws(rows=PAIRS), stage._replace(loss="l2 and contrast"), folder, OPTIONS)
    elif case == "duel":
        judge = Discriminator(4).train()
        fit_adversarial(
            model, judge, Draws(rows=ROWS), stage._replace(loss="l1"), folder, OPTIONS, 0.1
        )
    else:
        fit(model, Draws(rows=ROWS), stage, folder, OPTIONS._replace(patience=9))
    return model


def normalise(rank: int, world: int, dtype: torch.dtype, fabric: Fabric) -> dict[str, torch.Tensor]:
    """Everything that batch norm computes on rows rank::world of a small batch."""
    generator = torch.Generator().manual_seed(1)
    image, target = torch.randn(2, ROWS, 3, 2, 2, generator=generator, dtype=torch.float64)
    model = nn.BatchNorm2d(3, dtype=dtype).train()
    nn.init.constant_(model.weight, 1.5)
    share = (3 + 2 * image).to(dtype)[rank::world].requires_grad_()
    with arithmetic(model, fabric):
        output = model(share)
        (output * target[rank::world]).square().sum().backward()
    gradients = {f"{name}.grad": value.grad for name, value in model.named_parameters()}
    return {"output": output.detach(), "image": share.grad, **gradients, **model.state_dict()}


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", __file__, str(folder)]
    tests = str(Path(__file__).parents[1])  # where draws.py is
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": tests}
    done = subprocess.run(command, env=environment, timeout=240, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return folder


@pytest.mark.parametrize("case", CASES)
def test_the_loss_follows_the_single_process_run(two_processes, tmp_path, case):
    model = train(case, tmp_path)
    alone = read_journal(tmp_path)["stage"]
    shared = read_journal(two_processes / case)["stage"]
    assert list(shared) == list(alone) == list(range(STEPS))
    for step in range(STEPS):
        assert shared[step].loss == pytest.approx(alone[step].loss, rel=1e-4)
        if case == "duel":
            assert shared[step].discriminator == pytest.approx(alone[step].discriminator, rel=1e-3)
    lines = (two_processes / case / "metrics.jsonl").read_bytes().splitlines()
    assert len(lines) == STEPS  # the first process alone writes
    states = [
        torch.load(two_processes / case / f"rank{rank}.pt", weights_only=True)["model"]
        for rank in (0, 1)
    ]
    for name, value in model.state_dict().items():
        assert torch.equal(states[0][name], states[1][name])
        # Adam makes whole steps of gradients that are nearly nothing: within one step.
        torch.testing.assert_close(states[0][name], value, rtol=1e-2, atol=1e-3)


def test_batch_norm_over_two_processes_is_batch_norm(two_processes):
    expected = normalise(0, 1, torch.float64, make_fabric("32", nn.Identity()))
    shares = [torch.load(two_processes / f"norm{rank}.pt", weights_only=True) for rank in (0, 1)]
    for rank, share in enumerate(shares):
        for name in ("output", "image"):
            torch.testing.assert_close(
                share[name].double(), expected[name][rank::2], rtol=1e-4, atol=1e-5
            )
        for name in ("running_mean", "running_var"):
            torch.testing.assert_close(share[name].double(), expected[name], rtol=1e-5, atol=1e-6)
        assert share["num_batches_tracked"] == 1
    for name in ("weight", "bias"):
        total = sum(share[f"{name}.grad"].double() for share in shares)
        torch.testing.assert_close(total, expected[f"{name}.grad"], rtol=1e-4, atol=1e-5)


def test_more_processes_than_images_are_refused(two_processes):
    assert "cannot be shared by 2 processes" in (two_processes / "refusing" / "words").read_text()


if __name__ == "__main__":
    warnings.simplefilter("error")
    rank = os.environ["RANK"]
    for case in CASES:
        place = Path(sys.argv[1]) / case
        place.mkdir(exist_ok=True)
        save_state(place / f"rank{rank}.pt", {"model": train(case, place).state_dict()})
    shared = normalise(int(rank), 2, torch.float32, make_fabric("32", nn.Identity()))
    save_state(Path(sys.argv[1]) / f"norm{rank}.pt", shared)
    place = Path(sys.argv[1]) / "refusing"
    place.mkdir(exist_ok=True)
    try:
        fit(UNet((8, 16)).train(), Draws(rows=1), Stage("stage", 0, 3, 1e-3), place, OPTIONS)
    except TrainingError as error:
        (place / "words").write_text(str(error))
