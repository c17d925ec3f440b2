"""kill -9 at any moment: the stage goes on as if nothing had been.

Run as a script this file trains in child processes and kills them; importing torch once is what
makes that quick.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from draws import Draws
from scanside.train import fit as fitting
from scanside.train.fit import fit
from scanside.train.journal import read_journal, save_state
from scanside.train.models.unet import UNet
from scanside.train.precision import choose_precision
from scanside.train.sampler import Batch
from scanside.train.stage import Options, Stage

STEPS = 40


class Watched(Draws):
    """Tells a killer how far it is, and never gets past it."""

    def __init__(self, folder: Path | None = None, last: int = 10**9) -> None:
        super().__init__()
        self.folder, self.left = folder, last

    def batch(self, stage: int, step: int) -> Batch:
        if self.folder:
            with (self.folder / "asked").open("ab") as stream:
                stream.write(b".")
            self.left -= 1
            if self.left < 0:
                time.sleep(600)  # never past the killer, however slow that is
        return super().batch(stage, step)


def network() -> UNet:
    torch.manual_seed(0)
    return UNet((8, 16)).train()


def train(folder: Path, precision: str, last: int) -> None:
    torch.set_num_threads(1)
    fitting.CHECKPOINT_EVERY = 3
    model = network()
    options = Options(precision=precision, ema=0.9, patience=9)
    fit(model, Watched(folder, last), Stage("stage", 0, STEPS, 1e-3), folder, options)
    save_state(folder / "final.pt", {"model": model.state_dict()})


def train_and_be_killed(folder: Path, precision: str, kills: int) -> int:
    """Trains to the end in as many processes as it takes; how many were really killed."""
    killed = 0
    for life in range(kills + 1):
        asked = folder / "asked"
        asked.unlink(missing_ok=True)
        batches = random.randint(5, 14)
        child = os.fork()
        if child == 0:
            train(folder, precision, batches + 4 if life < kills else STEPS)
            os._exit(0)
        if life < kills:
            while not asked.exists() or asked.stat().st_size < batches:
                time.sleep(0.0005)
            time.sleep(random.uniform(0, 0.03))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        killed += os.WIFSIGNALED(status)
        assert life < kills or status == 0
    return killed


def supported() -> list[str]:
    return ["32", "bf16"] if choose_precision("auto", "cpu") == "bf16" else ["32"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    tests = str(Path(__file__).parents[1])  # where draws.py is
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": tests}
    command = [sys.executable, __file__, str(folder)]
    done = subprocess.run(command, env=environment, timeout=240, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("precision", supported())
def test_a_killed_stage_ends_with_the_same_weights(trained, precision):
    whole, killed = (trained / f"{name}-{precision}" for name in ("whole", "killed"))
    assert (killed / "kills").read_text() == "2"
    first, second = (
        torch.load(folder / "final.pt", weights_only=True)["model"] for folder in (whole, killed)
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert read_journal(whole) == read_journal(killed)
    lines = [json.loads(line) for line in (killed / "metrics.jsonl").read_bytes().splitlines()]
    assert [line["step"] for line in lines] == list(range(STEPS))
    left = {path.name for path in (killed / "checkpoints").iterdir()}
    assert left == {"stage.part.pt"}


class StoppedError(Exception):
    pass


def stopping_at(when: int, otherwise=lambda step: None):
    def switch(step: int) -> None:
        if step == when:
            raise StoppedError
        otherwise(step)

    return switch


@pytest.mark.parametrize("quantised", [False, True])
def test_a_stopped_stage_resumes_exactly(tmp_path, monkeypatch, quantised):
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 4)

    def model_and_freeze():
        if not quantised:
            return network(), lambda step: None
        from scanside.train.qat import Frozen, prepare  # slow, and the script does without

        prepared = prepare(network())
        return prepared, Frozen(prepared, 10)  # freezes at step 5: after a checkpoint

    results = []
    for name, stops in (("whole", [None]), ("stopped", [6, None] if quantised else [6, 9, None])):
        folder = tmp_path / name
        folder.mkdir()
        for stop in stops:
            model, freeze = model_and_freeze()
            stage = Stage(
                "stage", 0, 10, 1e-3, freeze if stop is None else stopping_at(stop, freeze)
            )
            if stop is None:
                fit(model, Watched(), stage, folder)
            else:
                with pytest.raises(StoppedError):
                    fit(model, Watched(), stage, folder)
        results.append(model.state_dict())
    whole, resumed = results
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


class Uneven(Draws):
    """Errors that are smallest in the second tenth of 40 steps, but for step 15."""

    def batch(self, stage: int, step: int) -> Batch:
        batch = super().batch(stage, step)
        size = 0.1 if step == 15 else (3, 1, 2, 2)[step // 4 % 4]
        return batch._replace(error=size * batch.error)


@pytest.mark.parametrize("stop", [13, 15])
def test_an_early_stop_comes_at_the_same_step_after_a_resume(tmp_path, monkeypatch, stop):
    monkeypatch.setattr(fitting, "CHECKPOINT_EVERY", 3)
    stage, options = Stage("stage", 0, 40, 1e-9), Options(precision="32", patience=2)
    weights = []
    for name in ("whole", "stopped"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "stopped":
            with pytest.raises(StoppedError):
                fit(network(), Uneven(), stage._replace(switch=stopping_at(stop)), folder, options)
        model = network()
        fit(model, Uneven(), stage, folder, options)
        weights.append(model.state_dict())
    whole, stopped = (read_journal(tmp_path / name)["stage"] for name in ("whole", "stopped"))
    assert whole == stopped
    assert max(whole) == 15
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


if __name__ == "__main__":
    for kind in supported():
        for case, times in (("whole", 0), ("killed", 2)):
            place = Path(sys.argv[1]) / f"{case}-{kind}"
            place.mkdir()
            (place / "kills").write_text(str(train_and_be_killed(place, kind, times)))
