"""The benchmarks of a trained run, as a user calls them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="needs the extra [workstation]")

from scanside.benchmarks.cli import bench


def call(*words: str | Path) -> str:
    result = CliRunner().invoke(bench, [str(word) for word in words], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_pruning_compares_the_criteria_with_the_whole_network(tiny_run):
    shown = call("pruning", tiny_run, "--steps", "10", "--budget", "0.7")
    for criterion in ("not pruned", "l1", "l2", "group", "taylor", "random"):
        assert criterion in shown


def test_sensitivity_names_every_integer_layer(tiny_run):
    shown = call("sensitivity", tiny_run)
    assert "decoders" in shown
    assert "encoders.0.0" not in shown.replace("encoders.0.3", "")  # reads the image, stays float


def test_training_prints_the_share_of_the_bare_loop():
    shown = call("training", "quick-ct", "--crop", "32", "--threads", "1", "--precision", "32")
    assert "32 x 32" in shown
