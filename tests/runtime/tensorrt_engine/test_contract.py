"""The engine against the genuine bindings of every TensorRT that a device may have.

Names, arity and types; nothing about what a plan computes, or how fast.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from scanside.runtime.engines.tensorrt import network
from wheels import fetch

WHEELS = {
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.13.3.9": "tensorrt-cu13-bindings==10.13.3.9.post1",
    "10.16.1.11": "tensorrt-cu13-bindings==10.16.1.11",
    "11.4.0.106": "tensorrt-cu13-bindings==11.4.0.106",
}
"""As tests/compile/plan/conftest.py has them. Proprietary: downloaded by the test, never kept."""
ASKED = {
    "ICudaEngine.create_execution_context",
    "ICudaEngine.device_memory_size_v2",
    "ICudaEngine.get_tensor_dtype",
    "ICudaEngine.get_tensor_mode",
    "ICudaEngine.get_tensor_name",
    "ICudaEngine.get_tensor_profile_shape",
    "ICudaEngine.num_io_tensors",
    "IExecutionContext.execute_async_v3",
    "IExecutionContext.get_tensor_shape",
    "IExecutionContext.set_device_memory",
    "IExecutionContext.set_input_shape",
    "IExecutionContext.set_tensor_address",
    "Runtime.deserialize_cuda_engine",
    "Runtime.engine_host_code_allowed =",
}
WRONG = {
    "deserialize_cuda_engine(plan)": "deserialize_engine(plan)",
    "engine_host_code_allowed = False": "host_code_allowed = False",
    "ExecutionContextAllocationStrategy.USER_MANAGED": "ExecutionContextAllocationStrategy.MINE",
    "create_execution_context(self._strategy)": "create_execution_context(self._strategy, 1)",
    "engine.num_io_tensors": "engine.num_bindings",
    "device_memory_size_v2": "device_memory_size_of",
    "get_tensor_profile_shape(self._input, 0)": "get_tensor_profile_shape(0, self._input)",
    "get_tensor_dtype(name)": "get_tensor_dtype(0)",
    "trt.DataType.FLOAT": "trt.DataType.FLOAT32",
    "TensorIOMode.OUTPUT": "TensorIOMode.OUT",
    "set_input_shape(self._input, (1, 1, rows, columns))": "set_input_shape(self._input, 'all')",
    "set_tensor_address(name, memory.pointer)": "set_tensor_address(memory.pointer, name)",
    "execute_async_v3(self._handle)": "execute_async_v2(self._handle)",
    "get_tensor_name(index)": "get_tensor_name(str(index))",
    "get_tensor_mode(one) == trt.TensorIOMode.INPUT": "get_tensor_mode(0)",
    "get_tensor_shape(self._output)": "get_tensor_shape(0)",
    "context.set_device_memory(\n            self._activations.pointer, ": (
        "context.set_device_memory(\n            "
    ),
    "trt.Runtime(self._logger)": "trt.Runtime()",
}


@pytest.fixture(scope="module", params=WHEELS)
def bindings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to make the stub libraries with")
    wheel = fetch(WHEELS[request.param], tmp_path_factory.mktemp("wheel"))
    if wheel is None:
        pytest.skip(f"{WHEELS[request.param]} cannot be downloaded for this Python here")
    return request.param, wheel


def run_contract(
    bindings: tuple[str, Path], kernels: Path, folder: Path, sources: Path | None = None
) -> subprocess.CompletedProcess[str]:
    version, wheel = bindings
    tests = REPOSITORY / "tests"
    paths = [*([sources] if sources else []), tests, tests / "compile" / "plan"]
    script = Path(__file__).with_name("binding_contract.py")
    return subprocess.run(
        [sys.executable, script, wheel, folder, kernels, version.partition(".")[0]],
        capture_output=True,
        text=True,
        timeout=120,
        env=dict(os.environ, PYTHONPATH=":".join(map(str, paths))),
    )


def test_every_call_is_one_that_the_bindings_take(
    bindings: tuple[str, Path], kernels_library: Path, tmp_path: Path
) -> None:
    done = run_contract(bindings, kernels_library, tmp_path)
    assert done.returncode == 0, done.stderr
    version, *asked = done.stdout.splitlines()
    assert version.startswith(bindings[0])
    assert set(asked) == ASKED


@pytest.mark.parametrize("right", WRONG)
def test_a_wrong_call_is_noticed(
    bindings: tuple[str, Path], kernels_library: Path, tmp_path: Path, right: str
) -> None:
    source = Path(network.__file__)
    assert right in source.read_text()
    package = tmp_path / "sources" / "scanside"
    shutil.copytree(REPOSITORY / "runtime", package / "runtime", ignore=lambda *_: ["__pycache__"])
    (package / "compile").symlink_to(REPOSITORY / "compile")
    edited = package / "runtime" / "engines" / "tensorrt" / "network.py"
    edited.write_text(source.read_text().replace(right, WRONG[right]))
    done = run_contract(bindings, kernels_library, tmp_path, package.parent)
    assert done.returncode != 0
    assert "network.py" in done.stderr, "it fell over something else"
