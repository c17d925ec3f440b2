"""A whole run by two processes: one folder, written once, and the loss of a single process."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from scanside.train.journal import read_journal
from scanside.train.run import CONTROL, FLOAT, PRUNED, QAT, Run
from scanside.train.stages import train_recipe
from tiny import TINY

SHORT = msgspec.structs.replace(TINY, steps=20, phantoms=3, heldout_phantoms=1, phantom_side=64)
SCRIPT = """
import sys
from pathlib import Path
import msgspec, torch
from scanside.train.recipe import Recipe
from scanside.train.stages import train_recipe
torch.set_num_threads(1)
recipe = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Recipe)
train_recipe(recipe, Path(sys.argv[2]), [], lambda line: print(line, flush=True), precision="32")
"""


def losses(folder: Path) -> dict[str, list[float]]:
    return {
        stage: [steps[number].loss for number in sorted(steps)]
        for stage, steps in read_journal(folder).items()
    }


@pytest.mark.slow
def test_two_processes_follow_one(tmp_path):
    (tmp_path / "recipe.json").write_bytes(msgspec.json.encode(SHORT))
    (tmp_path / "go.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "go.py", "recipe.json", "two"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("training on") == 1  # the first process speaks for both
    train_recipe(SHORT, tmp_path / "one", [], lambda line: None, precision="32")
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert set(two) == {FLOAT, PRUNED, CONTROL, QAT}
    assert {stage: len(found) for stage, found in two.items()} == {
        stage: len(found) for stage, found in one.items()
    }
    assert np.allclose(one[FLOAT][:10], two[FLOAT][:10], rtol=0.01)
    for stage in one:
        assert np.allclose(one[stage], two[stage], rtol=0.1), stage
    assert abs(Run(tmp_path / "two").summary().stages[QAT].psnr) > 10
