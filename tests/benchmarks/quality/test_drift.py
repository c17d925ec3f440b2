"""`bench drift`: every stage, a real daemon, the page, the record, and refusing."""

from __future__ import annotations

import json
import shutil

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch", reason="needs the extra [workstation]")

from scanside.benchmarks.cli import bench
from scanside.benchmarks.evidence.record import read_records
from scanside.benchmarks.quality.drift import (
    EAGER,
    Stages,
    _measure,
    measure_drift,
    stages_of,
)
from scanside.benchmarks.quality.sets import PHANTOMS, find_sets
from scanside.benchmarks.quality.streamed import through_daemon
from scanside.benchmarks.serving.identity import onnx_model
from scanside.compile.pack import write_bundle
from scanside.runtime.bundle import CPU_MODEL, Bundle
from scanside.runtime.engines.choose import available_engines, open_engine
from scanside.runtime.errors import BenchmarkError, GateError
from scanside.train.heldout import enhance_cases
from scanside.train.run import Run
from tiny import TINY


def call(*words: object) -> Result:
    return CliRunner().invoke(bench, [str(word) for word in words], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def phantoms():
    (found,) = find_sets(TINY, (60.0,), [PHANTOMS], most=2)
    return found


def test_every_stage_is_measured_and_kept(tiny_run, tiny_bundle, clean_ct, tmp_path):
    history, out, page = (tmp_path / name for name in ("history.jsonl", "drift.json", "d.html"))
    done = call(
        "drift", tiny_bundle, "--run", tiny_run, "--data", clean_ct, "--set", "phantoms",
        "--level", "60", "--images", "2", "--history", history, "--out", out, "--page", page,
    )  # fmt: skip
    assert done.exception is None or isinstance(done.exception, SystemExit | GateError), done.output
    assert "4095 HU" in done.output
    report = json.loads(out.read_text())
    assert report["identity"] == Bundle.open(tiny_bundle).identity
    assert [one["name"] for one in report["sets"]] == ["files", "phantoms"]
    files = report["sets"][0]
    engines = list(available_engines())
    assert list(files["rows"]) == [
        "input", "float", "pruned, fine-tuned", "float control", EAGER, "model.onnx",
        *(f"model.cpu.onnx on {name}" for name in engines), "model.trt.onnx",
        *(f"served, {name}" for name in engines),
    ]  # fmt: skip
    rows = {stage: rows["60"] for stage, rows in files["rows"].items()}
    assert files["astray"] == []
    for name in engines:
        assert rows[f"served, {name}"] == rows[f"model.cpu.onnx on {name}"]
    assert rows["float control"]["drift"] == 0
    assert rows["float control"]["to_control"] == 999
    assert rows["float"]["total"] == 0
    assert rows["float"]["psnr"] > rows["input"]["psnr"]
    for stage in (EAGER, "model.onnx", "model.trt.onnx"):
        # The gate's own figures, by another way.
        gate = files["verdict"]["engines"][stage]
        assert rows[stage]["drift"] == pytest.approx(gate["drift_at"]["60"], abs=1e-9)
        assert rows[stage]["to_control"] == pytest.approx(gate["to_control"], abs=1e-9)
        assert rows[stage]["ssim"] == pytest.approx(gate["ssim"], abs=1e-9)
    (record,) = read_records(history)
    assert record.bench == "drift"
    assert record.bundle.endswith(report["identity"][:12])
    assert "4095 HU" in record.data
    figures = {figure.name: figure for figure in record.figures}
    assert len(figures) == len(record.figures)
    served = figures["set=files", f"stage=served, {engines[0]}", "differs from the engine"]
    assert served.value == 0
    drift = figures["level=60 HU", "set=phantoms", "stage=model.onnx", "drift"]
    assert drift.low <= drift.value <= drift.high
    text = page.read_text()
    assert text.count("data:image/png;base64,") >= 4  # by image and a worst frame, of each set
    assert 'src="http' not in text
    assert "href=" not in text


def test_int8_that_lost_too_much_ends_with_the_gates_error(tiny_run, tiny_bundle, tmp_path):
    bundle = Bundle.open(tiny_bundle)
    members = {
        name: bundle.member(name) for name in bundle.names if not name.startswith("manifest")
    }
    path, history = tmp_path / "broken.scanside", tmp_path / "history.jsonl"
    write_bundle(path, bundle.manifest, {**members, CPU_MODEL: onnx_model()})
    page = tmp_path / "page.html"
    done = call(
        "drift", path, "--run", tiny_run, "--set", "phantoms", "--level", "60", "--images", "1",
        "--history", history, "--page", page,
    )  # fmt: skip
    assert isinstance(done.exception, GateError)
    assert done.exception.exit_code == 10
    assert f"INT8 on {CPU_MODEL}" in done.exception.message
    # What was found is kept all the same, a daemon that would not serve it too.
    assert len(read_records(history)) == 1
    assert "the daemon ended before it was ready" in page.read_text()


def test_a_bundle_of_another_run_is_refused(tiny_run, tiny_bundle, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_run, other)
    config = json.loads((other / "config.json").read_text())
    config["recipe"]["seed"] = 7
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(BenchmarkError, match="not compiled from this run"):
        stages_of(Run(other), Bundle.open(tiny_bundle))


def test_a_daemon_with_other_bits_is_named_and_measured(tiny_run, tiny_bundle, phantoms):
    stages = stages_of(Run(tiny_run), Bundle.open(tiny_bundle))
    engine = next(iter(available_engines()))
    # Held against eager PyTorch, which rounds ties otherwise.
    crossed = Stages(stages.floats, stages.integers, {engine: EAGER}, [])
    found, images = _measure(crossed, tiny_bundle, phantoms)
    assert found.astray == [f"served, {engine}: other bits than the same engine in process"]
    right = found.rows[f"model.cpu.onnx on {engine}"]
    assert found.rows[f"served, {engine}"] == right
    assert not np.array_equal(images[EAGER][0], images[f"served, {engine}"][0])
    report = measure_drift(stages, tiny_bundle, [])
    within = msgspec.structs.replace(found, over_limit="")
    with pytest.raises(BenchmarkError, match="other bits"):
        msgspec.structs.replace(report, sets=[within]).raise_failures()


@pytest.mark.parametrize("shared", [True, False])
def test_a_daemon_gives_the_engines_bits(tiny_bundle, phantoms, shared):
    name = next(iter(available_engines()))
    engine = open_engine(Bundle.open(tiny_bundle), name, 1)
    here = enhance_cases({name: engine}, phantoms.cases, "")[name]
    there = through_daemon(tiny_bundle, name, 1, phantoms.cases, shared_memory=shared)
    assert len(there) == len(here)
    for one, other, case in zip(here, there, phantoms.cases, strict=True):
        assert np.array_equal(one, other)
        assert other.dtype == case.degraded.dtype
        assert not np.array_equal(other, case.degraded)


def test_a_frame_that_is_not_enhanced_is_no_result(tiny_bundle, phantoms):
    name = next(iter(available_engines()))
    wrong = phantoms.cases[0].facts
    wrong = type(wrong)(modality="MR", bits_stored=wrong.bits_stored, signed=wrong.signed)
    cases = [phantoms.cases[0]._replace(facts=wrong)]
    with pytest.raises(BenchmarkError, match="refused"):
        through_daemon(tiny_bundle, name, 1, cases)
