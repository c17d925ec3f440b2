"""A run compiled for real: what ships is proved, and what fails the proof does not ship."""

import json
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from scanside.compile.build import compile_run
from scanside.compile.cli import compile_
from scanside.compile.gate import Gate, failure
from scanside.compile.tolerance import broken_networks
from scanside.runtime.bundle import CPU_MODEL, MODEL, REPORT, TRT_MODEL, Bundle
from scanside.runtime.engines import EngineSpec
from scanside.runtime.engines.choose import available_engines, cpu_engine, open_engine
from scanside.runtime.engines.cpu import CpuEngine
from scanside.runtime.errors import GoldenMismatchError, OutputExistsError
from scanside.runtime.golden import check_engine
from scanside.runtime.guard import change_of, outside
from scanside.train.heldout import load_cases
from scanside.train.manifest import draft_manifest
from scanside.train.qat import as_network
from scanside.train.run import Run
from scanside.train.stages import eager_engine, load_float
from tiny import TINY


def quietly(line: str) -> None:
    pass


def test_every_engine_passes_the_golden_frames(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    assert set(available_engines()) == {"openvino", "onnxruntime"}
    for name in available_engines():
        check_engine(open_engine(bundle, name, threads=2), bundle)
    check_engine(cpu_engine(bundle.manifest, bundle.member(MODEL), "onnxruntime", 2), bundle)


def test_identity_and_any_zeroed_layer_fail_the_golden_frames(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    spec = EngineSpec(name="broken", version="", device="cpu", threads=1, scale=1)
    broken = list(broken_networks(bundle.member(MODEL)))
    assert len(broken) == 9  # an identity and eight convolutions
    for _, network in broken:
        engine = CpuEngine(bundle.manifest, network, spec)
        with pytest.raises(GoldenMismatchError):
            check_engine(engine, bundle)


def test_the_twin_is_uint8_and_the_reference_int8(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    kinds = {}
    for name in (MODEL, CPU_MODEL):
        graph = onnx.load_from_string(bundle.member(name)).graph
        tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        kinds[name] = {
            tensors[node.input[2]].dtype for node in graph.node if node.op_type == "QuantizeLinear"
        }
    assert kinds == {MODEL: {np.dtype(np.int8)}, CPU_MODEL: {np.dtype(np.uint8)}}


def test_the_report_states_data_range_machine_and_control(tiny_bundle, tiny_run):
    bundle = Bundle.open(tiny_bundle)
    report = json.loads(bundle.member(REPORT))
    assert report["gate"]["data_range"] == 4095
    assert report["machine"]
    assert "not verified on hardware" in report["verified_on"]
    engines = report["gate"]["engines"]
    assert {"float control", MODEL, f"{CPU_MODEL} on openvino"} <= set(engines)
    control = engines["float control"]
    for figure in engines.values():
        assert figure["drift"] == pytest.approx(figure["psnr"] - control["psnr"])
        assert figure["drift"] >= -0.1
        assert np.mean(figure["cases"]) == pytest.approx(figure["psnr"])
    acceptance = bundle.manifest.acceptance
    assert acceptance is not None
    assert acceptance.unit == "HU"
    assert bundle.manifest.provenance.data_digest == Run(tiny_run).config().data_digest


def gate_of(folder: Path) -> tuple[Gate, CpuEngine]:
    """The tiny run's gate, and its float control."""
    run = Run(folder)
    model = load_float(run, "control")
    control = eager_engine(model, draft_manifest(TINY, model))
    return Gate(control, load_cases(run.heldout), "HU"), control


def test_the_gate_names_the_engine_that_lost(tiny_run):
    gate, control = gate_of(tiny_run)
    model = load_float(Run(tiny_run), "control")
    network = as_network(model)
    draft = draft_manifest(TINY, model)
    worse = CpuEngine(draft, lambda image: network(image) * np.float32(0.8), control.spec)
    verdict = gate.judge({"same": control, "worse": worse}).verdict
    assert verdict.engines["same"].drift == 0
    assert verdict.engines["worse"].drift < -0.1
    assert set(verdict.engines["worse"].drift_at) == {"40", "60"}
    assert "worse lost" in failure(verdict)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"drift_at": {"40": -0.11, "60": 0.3}}, "0.11 dB against its float control at 40 HU"),
        ({"drift_at": {"40": float("nan"), "60": 0.0}}, "nan dB"),
        ({"worst_drift": -0.31}, "0.31 dB against its float control on one case"),
        ({"ssim_drift": -0.0021}, "0.0021 of SSIM"),
        ({"ssim_drift": float("nan")}, "of SSIM"),
    ],
)
def test_every_limit_is_kept_or_named(tiny_run, change, words):
    gate, control = gate_of(tiny_run)
    verdict = gate.judge({"same": control}).verdict
    assert failure(verdict) == ""
    engines = verdict.engines | {"same": msgspec.structs.replace(verdict.engines["same"], **change)}
    assert words in failure(msgspec.structs.replace(verdict, engines=engines))


def test_fp16_may_not_move_the_figures(tiny_run):
    gate, control = gate_of(tiny_run)
    verdict = gate.judge({MODEL: control, TRT_MODEL: control}).verdict
    assert failure(verdict) == ""
    moved = msgspec.structs.replace(verdict.engines[MODEL], drift_at={"40": 0.0, "60": 0.021})
    engines = verdict.engines | {TRT_MODEL: moved}
    message = failure(msgspec.structs.replace(verdict, engines=engines))
    assert message.startswith("FP16 moved model.trt.onnx by +0.021 dB")


def test_an_existing_bundle_is_not_replaced_unasked(tiny_run, tiny_bundle):
    before = tiny_bundle.read_bytes()
    with pytest.raises(OutputExistsError):
        compile_run(tiny_run, tiny_bundle, quietly)
    assert tiny_bundle.read_bytes() == before


def test_compiling_what_is_no_run_fails_before_anything_is_written(tmp_path):
    result = CliRunner().invoke(compile_, [str(tmp_path), "--out", str(tmp_path / "x.scanside")])
    assert result.exception is not None
    assert "not a finished run" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_the_guard_knows_what_is_usual(tiny_bundle, tiny_run):
    bundle = Bundle.open(tiny_bundle)
    manifest = bundle.manifest
    assert manifest.guard is not None
    assert manifest.golden_noise is not None
    assert 0 < manifest.golden_noise.standard_deviation < 0.1
    engine = open_engine(bundle, "onnxruntime", threads=1)
    for case in load_cases(Run(tiny_run).heldout):
        result = engine.run(case.degraded[None], [case.facts])[0]
        change = change_of(case.degraded, result, case.facts, manifest.intensity)
        assert not outside(change, manifest.guard)
        wild = case.degraded + 4 * (result - case.degraded)
        change = change_of(case.degraded, wild, case.facts, manifest.intensity)
        assert outside(change, manifest.guard)


def test_the_same_run_compiled_twice_differs_in_the_report_alone(tiny_run, tiny_bundle, tmp_path):
    compile_run(tiny_run, tmp_path / "again.scanside", quietly)
    first, again = Bundle.open(tiny_bundle), Bundle.open(tmp_path / "again.scanside")
    assert first.names == again.names
    differing = {name for name in first.names if first.member(name) != again.member(name)}
    assert differing <= {REPORT, "manifest.json"}
    manifests = []
    for bundle in (first, again):
        manifest = json.loads(bundle.member("manifest.json"))
        del manifest["members"][REPORT]
        manifests.append(manifest)
    assert manifests[0] == manifests[1]
