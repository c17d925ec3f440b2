"""The genuine bindings of every TensorRT that a device may have; plan.py with a word changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devices import FakeDevice
from remote_builds import PLAN_BYTES, make_bundle
from scanside.compile import plan
from ssh_servers import SshServer, ssh_server

WHEELS = {
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.13.3.9": "tensorrt-cu13-bindings==10.13.3.9.post1",
    "10.16.1.11": "tensorrt-cu13-bindings==10.16.1.11",
    "11.4.0.106": "tensorrt-cu13-bindings==11.4.0.106",
}
"""Proprietary: downloaded by the test, never kept."""


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


@pytest.fixture(scope="module")
def jetson(tmp_path_factory: pytest.TempPathFactory) -> FakeDevice:
    return FakeDevice(tmp_path_factory.mktemp("device") / "jetson")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, jetson: FakeDevice) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("ssh"), f"{jetson.bin}:/usr/bin:/bin") as running:
        yield running


@pytest.fixture
def device(jetson: FakeDevice, server: SshServer, monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    """The Jetson that `server` leads to, behaving well; `ssh` is one that knows the server."""
    jetson.behave(size=PLAN_BYTES)
    monkeypatch.setenv("PATH", f"{server.client}:/usr/bin:/bin")
    return jetson


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "here")


@pytest.fixture
def edited_plan(tmp_path: Path) -> Callable[[str, str], Path]:
    """Makes a folder that holds `scanside`, where plan.py has another text in one place."""

    def edit(right: str, wrong: str) -> Path:
        package = tmp_path / "sources" / "scanside"
        here = Path(plan.__file__).parents[1]
        package.mkdir(parents=True)
        (package / "runtime").symlink_to(here / "runtime")
        (package / "compile").mkdir()
        source = Path(plan.__file__).read_text()
        assert right in source
        (package / "compile" / "__init__.py").touch()
        (package / "compile" / "plan.py").write_text(source.replace(right, wrong))
        return package.parent

    return edit
