"""plan.py against the genuine bindings of every TensorRT that a device may have."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bundles import write_test_bundle
from scanside.compile import plan
from scanside.compile.plan import settings_of
from scanside.runtime.bundle import Bundle
from scanside.runtime.errors import EngineUnavailableError

WHEELS = {
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.13.3.9": "tensorrt-cu13-bindings==10.13.3.9.post1",
    "10.16.1.11": "tensorrt-cu13-bindings==10.16.1.11",
    "11.4.0.106": "tensorrt-cu13-bindings==11.4.0.106",
}
"""Proprietary: downloaded by the test, never kept."""
RENAMED = {
    "build_serialized_network(": "build_serialized_net(",
    "create_timing_cache(settings.cache)": "create_timing_cache()",
    "MemoryPoolType.WORKSPACE": "MemoryPoolType.WORKPLACE",
    "builder_optimization_level": "optimization_level",
    "config.set_timing_cache(cache, False)": "config.set_timing_cache(False, cache)",
    "self, phase_name: str, parent_phase: str | None, num_steps: int": "self, phase_name: str",
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_test_bundle(tmp_path_factory.mktemp("bundle") / "model.scanside")


@pytest.fixture(scope="module", params=WHEELS)
def bindings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to make the stub libraries with")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), WHEELS[request.param]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        pytest.skip(f"{WHEELS[request.param]} cannot be downloaded for this Python here")
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(folder / "unzipped")
    return request.param, folder / "unzipped"


def run_contract(
    bindings: tuple[str, Path], bundle: Path, folder: Path, sources: Path | None = None
) -> subprocess.CompletedProcess[str]:
    version, wheel = bindings
    script = Path(__file__).with_name("contract.py")
    environment = dict(os.environ) | ({"PYTHONPATH": str(sources)} if sources else {})
    return subprocess.run(
        [sys.executable, script, wheel, folder, bundle, version.partition(".")[0]],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )


def test_every_call_is_one_that_the_bindings_take(bindings, bundle, tmp_path):
    done = run_contract(bindings, bundle, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(bindings[0])


@pytest.mark.parametrize("right", RENAMED)
def test_a_wrong_call_is_noticed(bindings, bundle, tmp_path, right):
    package = tmp_path / "sources" / "scanside"
    here = Path(plan.__file__).parents[1]
    package.mkdir(parents=True)
    (package / "runtime").symlink_to(here / "runtime")
    (package / "compile").mkdir()
    source = Path(plan.__file__).read_text()
    assert right in source
    (package / "compile" / "__init__.py").touch()
    (package / "compile" / "plan.py").write_text(source.replace(right, RENAMED[right]))
    done = run_contract(bindings, bundle, tmp_path, tmp_path / "sources")
    assert done.returncode != 0
    assert "Error" in done.stderr


def test_sides_are_what_the_runtime_will_send(bundle):
    settings = settings_of(Bundle.open(bundle).manifest)
    smallest, usual, largest = settings.sides
    assert smallest <= usual <= largest == 1024
    assert usual == 512


def test_without_tensorrt_it_says_what_to_install(bundle, tmp_path, capsys):
    with pytest.raises(EngineUnavailableError, match="TensorRT"):
        plan.load_tensorrt()
    out = tmp_path / "model.plan"
    assert plan.main([str(bundle), str(out)]) == 6
    assert "python3-libnvinfer" in capsys.readouterr().out
    assert not out.exists()
