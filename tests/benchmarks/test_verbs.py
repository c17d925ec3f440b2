"""The benchmarks of a trained run, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="needs the extra [workstation]")

from dicoms import make_dicom, save
from scanside.benchmarks.cli import bench
from scanside.runtime.bundle import Bundle
from scanside.train.phantoms.ct import phantom


def call(*words: str | Path) -> str:
    result = CliRunner().invoke(bench, [str(word) for word in words], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def clean_ct(tmp_path: Path) -> Path:
    """A folder of one CT image that no run has seen."""
    words = (phantom(160, np.random.default_rng(3)) + 1024).round().astype(np.uint16)
    place = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    scale = {"RescaleSlope": 1, "RescaleIntercept": -1024, "PixelSpacing": [0.9, 0.9]}
    folder = tmp_path / "clean"
    folder.mkdir()
    save(make_dicom(words, bits=12, **place, **scale), folder / "one.dcm")
    return folder


def test_quality_puts_every_stage_beside_the_classical_methods(
    tiny_run, tiny_bundle, clean_ct, tmp_path
):
    out = tmp_path / "quality.json"
    shown = call(
        "quality", tiny_run, "--bundle", tiny_bundle, "--data", clean_ct,
        "--level", "60", "--draws", "3", "--out", out,
    )  # fmt: skip
    report = json.loads(out.read_text())
    rows = report["levels"]["60"]
    stages = {"float", "pruned, fine-tuned", "float control of INT8"}
    assert stages | {"untouched"} < rows.keys()
    assert any(name.startswith("INT8, ") for name in rows)
    assert any("non-local means" in name.lower() for name in rows)
    assert rows["untouched"]["gain"] == 0
    assert rows["float"]["gain"] == pytest.approx(
        rows["float"]["psnr"] - rows["untouched"]["psnr"], abs=1e-6
    )
    hidden = report["hidden"]["60"]
    assert hidden.keys() == rows.keys()
    assert hidden["untouched"]["bias"] < 5
    # One small image has no strong edges enough, and says so.
    assert all(row["mtf50"] is None or 0.5 < row["mtf50"] < 2 for row in hidden.values())
    assert {(row["method"], row["radius"]) for row in report["discs"]} == {
        (name, radius) for name in rows if name in stages or "INT8, " in name for radius in (8, 3)
    }
    assert "4095 HU" in shown


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


def test_drift_judges_every_file_of_the_bundle(tiny_run, tiny_bundle, clean_ct, tmp_path):
    out = tmp_path / "drift.json"
    shown = call(
        "drift", tiny_bundle, "--run", tiny_run, "--data", clean_ct, "--level", "60", "--out", out
    )
    report = json.loads(out.read_text())
    engines = report["verdict"]["engines"]
    assert {"float control", "model.onnx", "model.trt.onnx", "model.cpu.onnx on openvino"} <= set(
        engines
    )
    assert engines["float control"]["drift_at"] == {"60": 0.0}
    assert report["identity"] == Bundle.open(tiny_bundle).identity
    assert "4095 HU" in shown
