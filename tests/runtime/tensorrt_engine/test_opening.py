"""From a bundle to the engine: the child process, the search for a plan, and `auto`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from bundles import write_test_bundle
from devices import make_libcuda
from scanside.compile.pack import add_plan, write_bundle
from scanside.runtime.bundle import Bundle
from scanside.runtime.cli.enhance import enhance
from scanside.runtime.engines import choose
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.engines.tensorrt import trial as trial_module
from scanside.runtime.engines.tensorrt.opening import open_planned
from scanside.runtime.errors import EngineUnavailableError, GoldenMismatchError
from scanside.runtime.golden import check_engine
from scanside.runtime.manifest import Sizes
from thin_device import ORIN, ThinDevice, evidence_of
from thin_tensorrt import make_plan

PLAN = make_plan("blur", side=256)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_test_bundle(
        tmp_path / "b.scanside", residual="blur", receptive_field=1, sizes=Sizes(maximum=256)
    )


@pytest.fixture
def bundle(file: Path) -> Bundle:
    return Bundle.open(file)


def test_a_kept_plan_is_tried_in_a_child_then_opened_here(
    device: ThinDevice, bundle: Bundle
) -> None:
    device.keep(bundle, PLAN)
    engine = open_engine(bundle, "tensorrt", plans=[device.plans])
    assert engine.spec.name == "tensorrt"
    assert engine.spec.version == ORIN.tensorrt
    assert check_engine(engine, bundle).worst.largest == 0


def test_the_child_imports_nothing_from_where_its_parent_stands(
    device: ThinDevice, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('from the stick')\n")
    monkeypatch.chdir(tmp_path)
    device.keep(bundle, PLAN)
    open_engine(bundle, "tensorrt", plans=[device.plans]).close()


def test_a_bundles_own_plan_needs_no_folder(device: ThinDevice, file: Path) -> None:
    add_plan(file, PLAN, evidence_of(Bundle.open(file), PLAN), None)
    engine = open_planned(Bundle.open(file), [])
    assert check_engine(engine, Bundle.open(file)).worst.largest == 0


def test_a_plan_that_is_not_what_its_evidence_says_is_not_opened(
    device: ThinDevice, file: Path
) -> None:
    bundle = Bundle.open(file)
    evidence, other = evidence_of(bundle, PLAN), make_plan("nan", side=256)
    members = {name: bundle.member(name) for name in bundle.manifest.members}
    plan, words = f"plans/{evidence.key}.plan", f"plans/{evidence.key}.json"
    write_bundle(file, bundle.manifest, {**members, plan: other, words: evidence.encode()})
    (device.plans / Path(plan).name).write_bytes(other)
    (device.plans / Path(words).name).write_bytes(evidence.encode())
    for folders in ([], [device.plans]):
        for one in (bundle, Bundle.open(file)):
            with pytest.raises(EngineUnavailableError) as caught:
                open_planned(one, folders)
            damaged = folders or one is not bundle
            assert ("is damaged" in caught.value.message) == bool(damaged)
    assert device.cuda.calls == []


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_crash_of_tensorrt_is_the_childs_alone(
    device: ThinDevice, bundle: Bundle, name: str
) -> None:
    device.keep(bundle, PLAN)
    device.child_behaves(crash=name)
    with pytest.raises(EngineUnavailableError, match=f"crashed with {name}") as caught:
        open_engine(bundle, "tensorrt", plans=[device.plans])
    assert "scanside plan FILE" in caught.value.next_step
    assert device.cuda.calls == [], "nothing of CUDA was touched here"


def test_a_child_that_hangs_is_ended(
    device: ThinDevice, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.keep(bundle, PLAN)
    device.child_behaves(hang=60)
    monkeypatch.setattr(trial_module, "TIME_LIMIT_S", 3.0)
    with pytest.raises(EngineUnavailableError, match="within 3 s"):
        open_engine(bundle, "tensorrt", plans=[device.plans])


WAITS = """
import sys
from pathlib import Path
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines.tensorrt.trial import trial
with trial() as child:
    print(child._process.pid, flush=True)
    child.open(Bundle.open(Path(sys.argv[1])).manifest, b"{}")
"""


def test_a_child_that_hangs_ends_with_whoever_started_it(device: ThinDevice, file: Path) -> None:
    device.child_behaves(hang=60)
    command = [sys.executable, "-c", WAITS, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        child = Path(f"/proc/{int(starter.stdout.readline())}")
        time.sleep(2)
        assert _lives(child), "it should hang"
        starter.kill()
    limit = time.monotonic() + 10
    while _lives(child):
        assert time.monotonic() < limit, "it holds the GPU though nobody waits for it"
        time.sleep(0.05)


def _lives(process: Path) -> bool:
    """A process that ended may stay in the table, with nothing but its name."""
    try:
        return bool((process / "cmdline").read_bytes())
    except OSError:
        return False


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"refuse": "deserialize_cuda_engine"}, "no engine from the plan"),
        ({"refuse": "execute_async_v3"}, "could not run the network"),
    ],
)
def test_what_the_child_cannot_do_is_not_tried_here(
    device: ThinDevice, bundle: Bundle, told: dict[str, str], message: str
) -> None:
    device.keep(bundle, PLAN)
    device.child_behaves(**told)
    with pytest.raises(EngineUnavailableError, match=message):
        open_engine(bundle, "tensorrt", plans=[device.plans])
    assert device.cuda.calls == []


def test_what_libraries_print_does_not_come_between_the_lines(
    device: ThinDevice, bundle: Bundle
) -> None:
    device.keep(bundle, PLAN)
    device.child_behaves(print="NvMapMemAllocInternalTagged: 1075072515 error 12\n")
    open_engine(bundle, "tensorrt", plans=[device.plans]).close()


def test_a_child_that_talks_nonsense_is_told_with_what_it_said(
    device: ThinDevice, bundle: Bundle
) -> None:
    (device.packages / "tensorrt.py").write_text("raise SystemError('a broken installation')")
    with pytest.raises(EngineUnavailableError, match="a broken installation"):
        open_engine(bundle, "tensorrt", plans=[device.plans])


def test_without_tensorrt_a_driver_or_a_gpu_the_cause_is_named(
    device: ThinDevice, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(make_libcuda(tmp_path / "none", count=0).parent))
    with pytest.raises(EngineUnavailableError, match="sees no GPU"):
        open_engine(bundle, "tensorrt")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(make_libcuda(tmp_path / "801", init=801).parent))
    with pytest.raises(EngineUnavailableError, match="cuInit with error 801"):
        open_engine(bundle, "tensorrt")
    (device.packages / "tensorrt.py").write_text("raise ImportError")
    with pytest.raises(EngineUnavailableError, match="bindings cannot be loaded"):
        open_engine(bundle, "tensorrt")


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a driver here")
def test_without_a_driver_the_cause_is_named(
    device: ThinDevice, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH")
    with pytest.raises(EngineUnavailableError, match="no CUDA driver"):
        open_engine(bundle, "tensorrt")


def test_no_plan_for_this_device_says_how_to_build_one(device: ThinDevice, bundle: Bundle) -> None:
    with pytest.raises(EngineUnavailableError, match=r"no TensorRT plan of test 1\.0\.0") as caught:
        open_engine(bundle, "tensorrt", plans=[device.plans])
    assert caught.value.next_step == "build it on this device: scanside plan FILE"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tensorrt": "10.16.2.10"}, "built by TensorRT 10.16.2.10, and this device has 10.3.0"),
        ({"gpu": "Thor", "capability": "11.0"}, r"for the GPU Thor \(11.0\), and this is Orin"),
        ({"l4t": "36.5.0"}, "for another system .*36.5.0"),
        ({"l4t": ""}, "for another system .*no Jetson"),
    ],
)
def test_a_plan_of_another_device_is_refused_by_name(
    device: ThinDevice, file: Path, changes: dict[str, str], message: str
) -> None:
    other = msgspec.structs.replace(ORIN, **changes)
    device.keep(Bundle.open(file), PLAN, other)
    with pytest.raises(EngineUnavailableError, match=message):
        open_engine(Bundle.open(file), "tensorrt", plans=[device.plans])
    if other.l4t:
        add_plan(file, PLAN, evidence_of(Bundle.open(file), PLAN, other), None)
        with pytest.raises(EngineUnavailableError, match=message):
            open_engine(Bundle.open(file), "tensorrt", plans=[])


def test_a_plan_whose_bytes_were_changed_is_not_loaded(device: ThinDevice, bundle: Bundle) -> None:
    evidence = device.keep(bundle, PLAN)
    (device.plans / f"{evidence.key}.plan").write_bytes(PLAN.replace(b"blur", b"BLUR"))
    with pytest.raises(EngineUnavailableError, match="scanside plan FILE"):
        open_engine(bundle, "tensorrt", plans=[device.plans])


def test_auto_takes_it_once_its_golden_frames_pass(device: ThinDevice, bundle: Bundle) -> None:
    seconds = {"tensorrt": 1.0, "openvino": 1.0, "onnxruntime": 1.0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choose, "_time", lambda bundle, engines: seconds)
        before = open_engine(bundle, threads=1, plans=[device.plans])
        assert before.spec.name == "openvino", "no plan is there yet"
        evidence = device.keep(bundle, PLAN)
        assert open_engine(bundle, threads=1, plans=[device.plans]).spec.name == "tensorrt"
        for path in device.plans.iterdir():
            path.unlink()
        assert evidence.key
        device.keep(bundle, make_plan(0.9, side=256))
        after = open_engine(bundle, threads=1, plans=[device.plans])
        assert after.spec.name == "openvino", "a plan that computes something else is out"


def test_a_named_engine_is_never_swapped(device: ThinDevice, bundle: Bundle) -> None:
    device.keep(bundle, make_plan(0.9, side=256))
    engine = open_engine(bundle, "tensorrt", plans=[device.plans])
    assert engine.spec.name == "tensorrt"
    with pytest.raises(GoldenMismatchError, match="tensorrt on golden frame"):
        check_engine(engine, bundle)


def test_it_does_not_take_onnx_files(bundle: Bundle) -> None:
    with pytest.raises(EngineUnavailableError, match="plans, not ONNX"):
        choose.load_network(b"", "tensorrt", 1)


def test_where_tensorrt_is_not_installed_the_command_line_says_so(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "tensorrt.py").write_text("raise ImportError")
    arguments = [str(file), str(tmp_path), str(tmp_path / "out"), "--engine", "tensorrt"]
    done = CliRunner().invoke(enhance, arguments)
    assert isinstance(done.exception, EngineUnavailableError)
    assert "python3-libnvinfer" in str(done.exception)
