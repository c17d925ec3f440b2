"""A sweep over a real run: its networks, what they are computed in, and the verb."""

from __future__ import annotations

import shutil

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="needs the extra [workstation]")

import torch

from scanside.benchmarks.cli import bench
from scanside.benchmarks.evidence.record import read_records
from scanside.benchmarks.pareto.contenders import (
    FLOAT32,
    FP16,
    INT8,
    choose_engine,
    contenders_of,
    insist_on_one_task,
)
from scanside.benchmarks.pareto.half import load_half
from scanside.compile.export import export_onnx
from scanside.runtime.engines.choose import load_network
from scanside.runtime.engines.openvino import the_core
from scanside.runtime.errors import BenchmarkError, EngineUnavailableError
from scanside.train.models import fuse_batch_norm
from scanside.train.recipe import Rician
from scanside.train.run import CONTROL, FLOAT, PRUNED, Run
from scanside.train.stages import load_float
from tiny import TINY


@pytest.fixture(scope="module")
def floats(tiny_run) -> bytes:
    network = fuse_batch_norm(load_float(Run(tiny_run), CONTROL))
    return export_onnx(network, network.multiple_of)


@pytest.mark.slow
def test_a_runs_networks_are_points_and_shared_ones_count_once(tiny_run, tmp_path):
    run = Run(tiny_run)
    other = Run(tmp_path / "other")
    shutil.copytree(tiny_run, other.folder)
    saved = torch.load(run.checkpoint(CONTROL), weights_only=True)
    saved["model"][next(key for key in saved["model"] if key.endswith("weight"))] *= 1.01
    torch.save(saved, other.checkpoint(CONTROL))
    runs = [("16 wide", one) for one in (run, run, other)]
    found, notes = contenders_of(runs, choose_engine(None), 1)
    stages = run.summary().stages
    share = stages[PRUNED].macs / stages[FLOAT].macs
    pruned = f"16 wide, {share:.0%}, {FLOAT32}"
    unpruned = f"16 wide, 100%, {FLOAT32}"
    integer = f"16 wide, {share:.0%}, {INT8}"
    half = f"16 wide, {share:.0%}, {FP16}"
    names = [name for name in found if FP16 not in name]
    # The second is the first; the third has another control, so that its INT8 has another too.
    assert names == [unpruned, pruned, integer, f"{pruned}'", f"{integer}'"]
    assert all(name == one.name for name, one in found.items())
    assert any("FP16 is left out" in note for note in notes) is (half not in found)
    assert len(notes) <= 1
    assert found[unpruned].macs == stages[FLOAT].macs
    assert found[pruned].macs == found[integer].macs == stages[PRUNED].macs
    assert found[integer].control == pruned
    assert found[f"{integer}'"].control == f"{pruned}'"
    assert found[pruned].control == ""


def test_only_one_task_can_be_judged_at_a_time():
    other = msgspec.structs.replace(TINY, name="mr", modality=("MR",), degradation=Rician())
    insist_on_one_task([TINY, TINY])
    with pytest.raises(BenchmarkError, match="tiny-ct and mr do different things"):
        insist_on_one_task([TINY, other])


def test_an_engine_that_is_not_here_is_refused():
    with pytest.raises(EngineUnavailableError, match="abacus is not installed"):
        choose_engine("abacus")


def test_fp16_is_what_it_is_computed_in_or_left_out(floats):
    here = the_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "FP16" in here:
        load_half(floats, "openvino", 1)
    else:
        # Asked for f16, OpenVINO computes in another precision and says nothing.
        with pytest.raises(EngineUnavailableError, match=r"computes f16 in (f32|bf16) on this CPU"):
            load_half(floats, "openvino", 1)
    with pytest.raises(EngineUnavailableError, match="onnxruntime computes f16 in f32"):
        load_half(floats, "onnxruntime", 1)


def test_a_precision_that_the_cpu_has_is_computed_in(floats):
    here = the_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precision = "bf16" if "BF16" in here else "f32"
    image = np.random.default_rng(0).random((1, 1, 64, 96), dtype=np.float32)
    whole = load_network(floats, "openvino", 1)(image)
    found = load_half(floats, "openvino", 1, precision)(image)
    off = float(np.abs(found - whole).max() / np.abs(whole).max())
    assert off < 0.1
    assert (off > 1e-4) is (precision == "bf16")


def test_the_verb_judges_times_and_plots_a_finished_run(tiny_run, clean_ct, tmp_path):
    out, history = tmp_path / "sweep", tmp_path / "history.jsonl"
    words = [
        "pareto", "--run", tiny_run, "--data", clean_ct, "--level", "40", "--level", "60",
        "--rounds", "5", "--threads", "1", "--out", out, "--history", history,
    ]  # fmt: skip
    done = CliRunner().invoke(bench, [str(word) for word in words], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "4095 HU" in done.output
    assert "[1/" not in done.output  # nothing to train
    assert (out / "pareto.html").exists()
    assert (out / "pareto.png").exists()
    (record,) = read_records(history)
    assert record.bench == "pareto"
    assert "4095 HU" in record.data
    ratios = [one for one in record.figures if one.metric == "ratio"]
    (base,) = [one for one in ratios if one.of["network"].endswith("100%, float32")]
    assert (base.value, base.low, base.high) == (1, 1, 1)
    assert all(len(one.rounds) == 5 and one.over == base.of["network"] for one in ratios)
    levels = {one.of["level"] for one in record.figures if one.metric == "psnr"}
    assert levels == {"40 HU", "60 HU"}
    assert any(one.of["network"].endswith(INT8) for one in ratios)
