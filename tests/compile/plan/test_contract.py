"""plan.py against the genuine bindings of every TensorRT that a device may have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bundles import write_test_bundle
from scanside.compile import plan
from scanside.runtime.errors import EngineUnavailableError

RENAMED = {
    "build_serialized_network(": "build_serialized_net(",
    "create_timing_cache(content)": "create_timing_cache()",
    "MemoryPoolType.WORKSPACE": "MemoryPoolType.WORKPLACE",
    "builder_optimization_level": "optimization_level",
    "config.set_timing_cache(cache, False)": "config.set_timing_cache(False, cache)",
    "self, phase_name: str, parent_phase: str | None, num_steps: int": "self, phase_name: str",
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_test_bundle(tmp_path_factory.mktemp("bundle") / "model.scanside")


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
def test_a_wrong_call_is_noticed(bindings, bundle, tmp_path, edited_plan, right):
    done = run_contract(bindings, bundle, tmp_path, edited_plan(right, RENAMED[right]))
    assert done.returncode != 0
    assert "Error" in done.stderr


def test_without_tensorrt_it_says_what_to_install(bundle, tmp_path, capsys):
    with pytest.raises(EngineUnavailableError, match="TensorRT"):
        plan.tensorrt_version()
    out = tmp_path / "model.plan"
    assert plan.main([str(bundle), str(out)]) == 6
    assert "python3-libnvinfer" in capsys.readouterr().out
    assert not out.exists()
