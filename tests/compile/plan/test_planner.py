"""Building here: the child process, its limits, and what it leaves behind."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bundles import make_manifest, make_members, write_test_bundle
from devices import FakeDevice, started_afresh
from scanside.compile.pack import write_bundle
from scanside.compile.plan_cli import plan as verb
from scanside.runtime import planner
from scanside.runtime.bundle import MODEL, TRT_MODEL, Bundle
from scanside.runtime.errors import EngineUnavailableError, PlanError
from scanside.runtime.plan_lines import Line
from scanside.runtime.planner import KeptPlan, build_plan_file, kept_plan, probe
from scanside.runtime.plans import plan_keys


@pytest.fixture
def device(jetson: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    """This process's children are on a Jetson."""
    jetson.adopt(monkeypatch)
    jetson.behave()
    return jetson


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_test_bundle(tmp_path / "ct.scanside")


def build(bundle: Path, time_limit_s: float = 60.0) -> KeptPlan:
    return build_plan_file(bundle, bundle.parent / "plans", lambda line: None, time_limit_s)


def left(bundle: Path) -> list[str]:
    return [path.name for path in (bundle.parent / "plans").iterdir()]


def test_the_plan_and_its_evidence_stand_under_their_key(device, bundle):
    shown: list[Line] = []
    made = build_plan_file(bundle, bundle.parent / "plans", shown.append)
    evidence = made.evidence
    assert sorted(left(bundle)) == [f"{evidence.key}.json", f"{evidence.key}.plan"]
    manifest = Bundle.open(bundle).manifest
    assert plan_keys(manifest, probe()) == {MODEL: evidence.key}
    assert evidence.fingerprint.l4t == "36.4.3"
    assert evidence.label == "device"
    assert (evidence.int8, evidence.layers, evidence.source) == (1, 2, MODEL)
    assert "a warning" in evidence.log
    assert shown[0] == Line(phase="Building Engine", steps=2)
    assert kept_plan(Bundle.open(bundle), probe(), bundle.parent / "plans") == made


def test_the_network_for_tensorrt_comes_first_and_evidence_says_if_it_failed(device, tmp_path):
    manifest = make_manifest()
    members = make_members(manifest)
    fit_for_tensorrt = members[MODEL].replace(b"DepthToSpace", b"DepthToSpacf")
    both = tmp_path / "both.scanside"
    write_bundle(both, manifest, {**members, TRT_MODEL: fit_for_tensorrt})
    assert build(both).evidence.source == TRT_MODEL
    device.behave(refuse="DepthToSpacf")
    evidence = build(both).evidence
    assert evidence.source == MODEL
    assert any("model.trt.onnx" in line and "UNSUPPORTED_NODE" in line for line in evidence.log)
    assert len(left(both)) == 4


def test_nothing_is_imported_from_where_its_caller_stands(device, bundle, tmp_path, monkeypatch):
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "msgspec.py").write_text("raise SystemExit('from the stick')\n")
    monkeypatch.chdir(stick)
    monkeypatch.setenv("SCANSIDE_CACHE", "cache")
    assert build(bundle).evidence.layers == 2
    assert (stick / "cache" / "timing").is_dir()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"crash": "SIGSEGV"}, "crashed with SIGSEGV"),
        ({"crash": "SIGKILL"}, "crashed with SIGKILL"),
        ({"float": True}, "none of its layers works on INT8"),
        ({"refuse": "image"}, "UNSUPPORTED_NODE"),
        ({"none": True}, "made no plan"),
        ({"raise": "out of luck"}, "out of luck"),
    ],
)
def test_a_failed_build_is_told_and_leaves_nothing(device, bundle, how, says):
    device.behave(**how)
    with pytest.raises(PlanError, match=says) as caught:
        build(bundle)
    assert caught.value.exit_code == 6
    assert left(bundle) == []


def test_a_kernel_short_of_memory_is_suspected_after_sigkill(device, bundle):
    device.behave(crash="SIGKILL")
    with pytest.raises(PlanError) as caught:
        build(bundle)
    assert "memory" in caught.value.next_step


def test_a_build_over_its_time_limit_is_ended(device, bundle):
    device.behave(sleep=60)
    started = time.monotonic()
    with pytest.raises(PlanError, match=r"within 0\.05 minutes") as caught:
        build(bundle, 3.0)
    assert time.monotonic() - started < 20
    assert "--time-limit" in caught.value.next_step
    assert not device.builds()
    assert left(bundle) == []


def test_what_libraries_print_does_not_come_between_the_lines(device, bundle):
    device.behave(print="NvMapMemAllocInternalTagged: 1075072515 error 12")
    assert build(bundle).evidence.int8 == 1


def wait_until(true: Any) -> None:
    for _ in range(200):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_the_build_ends_with_whoever_started_it(device, bundle, number):
    device.behave(sleep=60)
    folder = bundle.parent / "plans"
    command = [sys.executable, "-m", "scanside.runtime", "plan", str(bundle), "--out", str(folder)]
    with started_afresh(command) as started:
        wait_until(device.builds)
        started.send_signal(number)
        started.wait(10)
    wait_until(lambda: not device.builds())
    assert list(folder.iterdir()) == []
    if number == signal.SIGINT:
        assert started.returncode == 130
        assert list(device.tmp.iterdir()) == []


def test_a_build_that_hears_nothing_any_more_is_ended_all_the_same(device, bundle):
    """As one does that is stuck in the driver."""
    device.behave(crash="SIGSTOP")

    def interrupt(line: Line) -> None:
        if line.phase == "Timing":
            wait_until(device.builds)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_plan_file(bundle, bundle.parent / "plans", interrupt)
    assert not device.builds()
    assert left(bundle) == []


def test_a_plan_that_changed_on_its_way_from_the_child_is_not_kept(device, bundle, monkeypatch):
    (device.packages / "changing.py").write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from scanside.compile.plan import main\n"
        "code = main(sys.argv[1:])\n"
        "Path(sys.argv[3]).write_bytes(b'another plan')\n"
        "sys.exit(code)\n"
    )
    monkeypatch.setattr(planner, "BUILDER_MODULE", "changing")
    with pytest.raises(PlanError, match="bytes are not those"):
        build(bundle)
    assert left(bundle) == []


def test_a_timing_cache_is_kept_and_one_that_is_rejected_thrown_away(device, bundle):
    folder = device.cache / "timing"
    build(bundle)
    (cache,) = folder.iterdir()
    assert cache.name == "10.3.0-8.7.timing"
    cache.write_bytes(b"old;")
    build(bundle)
    assert cache.read_bytes() == b"old;measured;"
    device.behave(reject_cache=True)
    evidence = build(bundle).evidence
    assert "the timing cache was not taken" in evidence.log
    assert cache.read_bytes() == b"measured;"
    cache.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    device.behave()
    assert any("was not kept" in line for line in build(bundle).evidence.log)
    folder.unlink()


def test_a_plan_that_is_there_is_not_built_again_unless_forced(device, bundle, tmp_path):
    arguments = [str(bundle), "--out", str(tmp_path / "plans")]
    first = CliRunner().invoke(verb, arguments, catch_exceptions=False)
    assert "1 of 2 layers on INT8" in first.output
    device.behave()  # forgets that it has built
    again = CliRunner().invoke(verb, arguments, catch_exceptions=False)
    assert "is there already" in again.output
    assert not device.building.exists()
    CliRunner().invoke(verb, [*arguments, "--force"], catch_exceptions=False)
    assert device.building.exists()


def test_by_default_plans_are_beside_the_caches(device, bundle):
    result = CliRunner().invoke(verb, [str(bundle)], catch_exceptions=False)
    assert str(device.cache / "plans") in result.output


def test_a_folder_that_cannot_be_written_is_told(device, bundle, tmp_path):
    (tmp_path / "plans").write_text("a file")
    with pytest.raises(PlanError, match="cannot be kept"):
        build(bundle)


def test_without_a_driver_or_tensorrt_the_verb_says_what_to_do(tmp_path, bundle, monkeypatch):
    fake = FakeDevice(tmp_path / "device", init=801)
    fake.adopt(monkeypatch)
    with pytest.raises(EngineUnavailableError, match="error 801") as caught:
        build(bundle)
    assert "render" in caught.value.next_step
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    with pytest.raises(EngineUnavailableError, match="no CUDA driver"):
        probe()
    monkeypatch.setenv("PYTHONPATH", "")
    with pytest.raises(EngineUnavailableError, match="bindings cannot be loaded"):
        probe()
    assert left(bundle) == []


def test_the_daemons_way_in_knows_the_child_by_name_alone():
    """The runtime imports nothing of compile: what it starts must exist under that name."""
    from importlib.util import find_spec

    from scanside.runtime.plans import BUILDER_MODULE

    assert find_spec(BUILDER_MODULE) is not None
