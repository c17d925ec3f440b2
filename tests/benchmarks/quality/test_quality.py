"""`bench quality`, as a user calls it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="needs the extra [workstation]")

from scanside.benchmarks.cli import bench
from scanside.benchmarks.evidence.record import read_records


def test_quality_puts_every_stage_beside_the_classical_methods(
    tiny_run, tiny_bundle, clean_ct, tmp_path
):
    out, history = tmp_path / "quality.json", tmp_path / "history.jsonl"
    words = [
        "quality", tiny_run, "--bundle", tiny_bundle, "--data", clean_ct,
        "--level", "60", "--draws", "3", "--out", out, "--history", history,
    ]  # fmt: skip
    done = CliRunner().invoke(bench, [str(word) for word in words], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
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
    assert "4095 HU" in done.output
    (record,) = read_records(history)
    assert (record.bench, record.setting["draws"]) == ("quality", "3")
    figures = {figure.name: figure.value for figure in record.figures}
    assert len(figures) == len(record.figures)
    assert figures["level=60 HU", "method=float", "psnr"] == rows["float"]["psnr"]
    disc = ("level=60 HU", "method=float", "radius=8 px", "contrast left")
    assert figures[disc] == pytest.approx(
        next(
            row["recovery"]
            for row in report["discs"]
            if (row["method"], row["radius"]) == ("float", 8)
        )
    )
