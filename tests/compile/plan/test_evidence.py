"""What a plan is known by, and what it is not: its key, its evidence and its bytes."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from bundles import write_test_bundle
from devices import FakeDevice
from scanside.compile.pack import add_plan
from scanside.compile.plan_cli import plan as verb
from scanside.runtime.bundle import MODEL, Bundle
from scanside.runtime.errors import PlanError, TargetError
from scanside.runtime.planner import KeptPlan, build_plan_file, kept_plan, probe
from scanside.runtime.plans import Evidence, check_evidence, plan_keys


@pytest.fixture
def device(jetson: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    """This process's children are on a Jetson."""
    jetson.adopt(monkeypatch)
    jetson.behave()
    return jetson


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_test_bundle(tmp_path / "ct.scanside")


def build(bundle: Path) -> KeptPlan:
    return build_plan_file(bundle, bundle.parent / "plans", lambda line: None, 60.0)


def test_a_plan_whose_bytes_changed_is_not_kept(device, bundle):
    made = build(bundle)
    made.path.write_bytes(made.path.read_bytes()[:-1] + b"x")
    assert kept_plan(Bundle.open(bundle), probe(), made.path.parent) is None


def test_a_file_that_grew_beyond_all_memory_is_not_even_read(device, bundle):
    made = build(bundle)
    os.truncate(made.path, 1 << 42)  # a hole: it takes no room
    assert kept_plan(Bundle.open(bundle), probe(), made.path.parent) is None
    made = build(bundle)
    os.truncate(made.path.with_suffix(".json"), 1 << 42)
    assert kept_plan(Bundle.open(bundle), probe(), made.path.parent) is None


def test_a_plan_of_a_workstation_is_local_and_goes_into_no_bundle(tmp_path, bundle, monkeypatch):
    workstation = FakeDevice(tmp_path / "workstation", l4t="", gpu="NVIDIA RTX 6000")
    workstation.adopt(monkeypatch)
    made = build(bundle)
    assert made.evidence.label == "local"
    before = bundle.read_bytes()
    with pytest.raises(TargetError, match="local: no device can run it"):
        add_plan(bundle, made.path.read_bytes(), made.evidence, None)
    result = CliRunner().invoke(verb, [str(bundle), "--force"], catch_exceptions=False)
    assert "no device takes it" in result.output
    assert bundle.read_bytes() == before


def test_a_local_plan_cannot_pass_for_a_devices(tmp_path, bundle, device):
    """Its fingerprint edited to a Jetson's, it has another key than the one that it was given."""
    made = build(bundle)
    local = msgspec.structs.replace(made.evidence.fingerprint, l4t="")
    key = plan_keys(Bundle.open(bundle).manifest, local)[MODEL]
    assert key != made.evidence.key
    forged = msgspec.structs.replace(made.evidence, key=key)
    with pytest.raises(PlanError, match="key is not that"):
        add_plan(bundle, made.path.read_bytes(), forged, None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sha256": "0" * 64}, "bytes are not those"),
        ({"size": 3}, "bytes are not those"),
        ({"key": "0" * 64}, "key is not that"),
        ({"source": "model.cpu.onnx"}, "key is not that"),
        ({"onnx": "0" * 64}, "another network"),
        ({"int8": 0}, "INT8"),
        ({"label": "local"}, "label"),
    ],
)
def test_evidence_that_is_of_something_else_is_refused(device, bundle, change, says):
    made = build(bundle)
    edited = msgspec.structs.replace(made.evidence, **change)
    with pytest.raises(PlanError, match=says):
        check_evidence(edited, made.path.read_bytes(), Bundle.open(bundle).manifest)


def test_every_part_of_the_fingerprint_and_the_settings_is_in_the_key(device, bundle):
    manifest = Bundle.open(bundle).manifest
    found = probe()
    changes = {
        "tensorrt": "10.3.1",
        "l4t": "36.4.4",
        "driver": "12.7",
        "gpu": "Thor",
        "capability": "11.0",
        "memory_gb": 8,
        "module": "orin-nano-8gb",
    }
    assert set(changes) == set(found.__struct_fields__)
    others = [
        plan_keys(manifest, msgspec.structs.replace(found, **{name: value}))[MODEL]
        for name, value in changes.items()
    ]
    for changed in ({"memory_budget_mb": 4000}, {"multiple_of": 32, "sizes": {"tile": 512}}):
        edited = msgspec.convert({**msgspec.to_builtins(manifest), **changed}, type(manifest))
        others.append(plan_keys(edited, found)[MODEL])
    keys = {plan_keys(manifest, found)[MODEL], *others}
    assert len(keys) == len(others) + 1


def test_evidence_can_be_read_back(device, bundle):
    made = build(bundle)
    raw = made.path.with_suffix(".json").read_bytes()
    assert msgspec.json.decode(raw, type=Evidence) == made.evidence
