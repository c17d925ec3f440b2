"""The genuine pycuda and cuda-bindings take what the engine calls, over an emulated driver.

pycuda has no wheels: it is compiled, in some minutes, by tests/build_pycuda.py. Set SCANSIDE_PYCUDA
to the folder that this made, or install pycuda.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from emulated_cuda import make_driver
from wheels import fetch

BINDINGS = ("cuda-bindings==13.5.0", "cuda-pathfinder==1.9.0")


@pytest.fixture(scope="module")
def pycuda() -> Path:
    """The folder that holds the package."""
    if "SCANSIDE_PYCUDA" in os.environ:
        folder = Path(os.environ["SCANSIDE_PYCUDA"])
        if not (folder / "pycuda").is_dir():
            pytest.fail(f"SCANSIDE_PYCUDA names {folder}, which holds no pycuda")
        return folder
    found = importlib.util.find_spec("pycuda")
    if found is None or found.origin is None:
        pytest.skip("no pycuda: set SCANSIDE_PYCUDA to what tests/build_pycuda.py made")
    return Path(found.origin).parents[1]


@pytest.fixture(scope="module")
def driver(pycuda: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("nm") is None:
        pytest.skip("no nm to see what pycuda needs of a driver")
    extension = next((pycuda / "pycuda").glob("_driver*.so"))
    return make_driver(tmp_path_factory.mktemp("driver") / "lib", extension)


@pytest.fixture(scope="module")
def bindings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    together = tmp_path_factory.mktemp("bindings")
    for wheel in BINDINGS:
        found = fetch(wheel, tmp_path_factory.mktemp("wheel"))
        if found is None:
            pytest.skip(f"{wheel} cannot be downloaded for this Python here")
        shutil.copytree(found, together, dirs_exist_ok=True)
    return together


GRAPH = """
import ctypes, os, sys
driver = ctypes.CDLL("libcuda.so.1")
context, stream = ctypes.c_void_p(), ctypes.c_void_p()
driver.cuInit(0)
driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
driver.cuCtxPushCurrent_v2(context)
driver.cuStreamCreate(ctypes.byref(stream), 1)
done = []
work = ctypes.CFUNCTYPE(None)(lambda: done.append(1))
from scanside.runtime.engines.tensorrt.graph import capture, import_driver
graph = capture(import_driver(), stream.value, lambda: driver.queue_work(work))
assert not done, "recorded, not done"
graph.launch()
graph.launch()
graph.close()
assert len(done) == 2
"""


def test_cuda_bindings_alone_take_every_call_of_a_graph(bindings: Path, tmp_path: Path) -> None:
    driver = make_driver(tmp_path / "lib")
    environment = dict(os.environ, LD_LIBRARY_PATH=str(driver), PYTHONPATH=str(bindings))
    done = subprocess.run(
        [sys.executable, "-c", GRAPH], capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.returncode == 0, done.stderr


def run(
    how: str, driver: Path, trace: Path, packages: list[Path]
) -> subprocess.CompletedProcess[str]:
    environment = dict(
        os.environ,
        LD_LIBRARY_PATH=str(driver),
        PYTHONPATH=":".join(map(str, [*packages, REPOSITORY / "tests"])),
        EMULATED_TRACE=str(trace),
    )
    command = [sys.executable, Path(__file__).with_name("genuine_cuda.py"), how]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_pycuda_takes_every_call_and_frames_come_out_right(
    pycuda: Path, driver: Path, tmp_path: Path
) -> None:
    done = run("plain", driver, tmp_path / "trace", [pycuda])
    assert done.returncode == 0, done.stderr
    message, *calls = done.stdout.splitlines()
    assert "tiles have 64 a side" in message
    assert "cuLaunchKernel" in calls
    for taken, freed in (
        ("cuMemHostAlloc", "cuMemFreeHost"),
        ("cuMemAlloc_v2", "cuMemFree_v2"),
        ("cuStreamCreate", "cuStreamDestroy_v2"),
        ("cuModuleLoadDataEx", "cuModuleUnload"),
    ):
        assert calls.count(taken) == calls.count(freed) > 0, f"{taken}: close() lets go of all"
    assert calls.count("cuDevicePrimaryCtxRelease_v2") == 2


def test_cuda_bindings_record_and_start_a_graph_per_shape(
    pycuda: Path, driver: Path, bindings: Path, tmp_path: Path
) -> None:
    done = run("graphs", driver, tmp_path / "trace", [pycuda, bindings])
    assert done.returncode == 0, done.stderr
    _, *calls = done.stdout.splitlines()
    assert calls.count("cuStreamBeginCapture_v2") == 2, "one shape at either scale"
    tiles, frames, scales = 4, 6, 2
    assert calls.count("cuGraphLaunch") == tiles * frames * scales
    assert calls.count("cuGraphExecDestroy") == calls.count("cuGraphDestroy") == 2
