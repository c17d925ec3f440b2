"""A whole run, for real and small: what it leaves, and what it refuses to mix."""

import msgspec
import numpy as np
import pytest

from scanside.runtime.errors import NoImagesError, RunFolderError
from scanside.train.heldout import load_cases
from scanside.train.journal import Step
from scanside.train.run import CONTROL, FLOAT, PRUNED, QAT, Run
from scanside.train.stages import train_recipe
from tiny import TINY

STAGES = (FLOAT, PRUNED, CONTROL, QAT)


def quietly(line: str) -> None:
    pass


def test_a_run_leaves_every_stage_and_its_figures(tiny_run):
    run = Run(tiny_run)
    summary = run.summary()
    assert list(summary.stages) == list(STAGES)
    assert summary.stages["pruned"].macs <= TINY.mac_budget * summary.stages["float"].macs
    assert summary.stages["float"].psnr > summary.base_psnr + 1
    assert abs(summary.stages["qat"].psnr - summary.stages["control"].psnr) < 0.3
    assert (tiny_run / "curves.png").read_bytes().startswith(b"\x89PNG")
    left = {path.name for path in (tiny_run / "checkpoints").iterdir()}
    assert left == {f"{stage}.pt" for stage in STAGES}


def test_control_and_qat_are_trained_equally_long(tiny_run):
    lines = [
        msgspec.json.decode(line, type=Step)
        for line in (tiny_run / "metrics.jsonl").read_bytes().splitlines()
    ]
    steps = {stage: [line for line in lines if line.stage == stage] for stage in STAGES}
    assert len(steps["control"]) == len(steps["qat"]) == round(TINY.steps * TINY.qat_fraction)
    assert [a.rate for a in steps["control"]] == [b.rate for b in steps["qat"]]


def test_held_out_cases_are_noisy_as_stated(tiny_run):
    cases = load_cases(Run(tiny_run).heldout)
    assert len(cases) == TINY.heldout_phantoms * len(TINY.heldout_levels)
    for case in cases:
        tissue = case.inside & (np.abs(case.clean.astype(int)) < 150)
        noise = (case.degraded.astype(int) - case.clean)[tissue].std()
        assert noise == pytest.approx(case.level, rel=0.05)


def test_a_finished_run_is_not_trained_again(tiny_run):
    before = (tiny_run / "metrics.jsonl").read_bytes()
    train_recipe(TINY, tiny_run, [], quietly)
    assert (tiny_run / "metrics.jsonl").read_bytes() == before


def test_another_configuration_is_refused(tiny_run):
    with pytest.raises(RunFolderError, match="another recipe"):
        train_recipe(TINY.changed(steps=130), tiny_run, [], quietly)


def test_data_without_images_stops_before_anything_is_written(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(NoImagesError):
        train_recipe(TINY, tmp_path / "run", [tmp_path / "data"], quietly)
    assert not (tmp_path / "run").exists()


def test_an_unfinished_run_says_what_to_do(tmp_path):
    with pytest.raises(RunFolderError) as caught:
        Run(tmp_path).summary()
    assert "scanside train" in caught.value.next_step
