"""A fake device: the real command line over a stub CUDA driver and a fake TensorRT.

Nothing in Scanside knows of it: a script called `scanside` sets the environment that any program
gets its libraries and packages through. What it cannot stand for is TensorRT's work.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daemons import heed_interrupts

FAKE_TENSORRT = Path(__file__).parent / "compile" / "plan" / "fake_tensorrt.py"
LIBCUDA = """
#include <string.h>
int cuInit(unsigned flags) {{ return {init}; }}
int cuDeviceGetCount(int *count) {{ *count = {count}; return 0; }}
int cuDeviceGet(int *device, int ordinal) {{ *device = ordinal; return 0; }}
int cuDeviceGetName(char *name, int size, int device) {{ strncpy(name, "{gpu}", size); return 0; }}
int cuDeviceGetAttribute(int *value, int attribute, int device) {{
    if (attribute == 75) *value = {major};
    else if (attribute == 76) *value = {minor};
    else return 1;
    return 0;
}}
int cuDeviceTotalMem_v2(unsigned long *bytes, int device) {{ *bytes = {memory}UL; return 0; }}
int cuDriverGetVersion(int *version) {{ *version = {driver}; return 0; }}
"""
ORIN_NX = {
    "gpu": "Orin",
    "major": 8,
    "minor": 7,
    "memory": 16_466_034_688,
    "driver": 12060,
    "init": 0,
    "count": 1,
}


def make_libcuda(folder: Path, **changes: Any) -> Path:
    """A CUDA driver that answers as the one of a Jetson Orin NX 16 GB, `changes` aside."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to make the stub CUDA driver with")
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "cuda.c"
    source.write_text(LIBCUDA.format(**ORIN_NX | changes))
    library = folder / "libcuda.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", library, source], check=True)
    return library


class FakeDevice:
    """A Jetson in a folder, by default an Orin NX 16 GB with JetPack 6.2; l4t="" is a workstation.

    bin: to be first on PATH. tmp: its temporary files. cache: Scanside's.
    """

    def __init__(self, folder: Path, l4t: str = "36.4.3", **cuda: Any) -> None:
        self.bin, self.tmp, self.cache = (folder / name for name in ("bin", "tmp", "cache"))
        self.packages = folder / "python"
        for one in (self.bin, self.tmp, self.packages):
            one.mkdir(parents=True)
        make_libcuda(folder / "lib", **cuda)
        shutil.copy(FAKE_TENSORRT, self.packages / "tensorrt.py")
        package = f"printf {l4t}-20250107174145" if l4t else "exit 1"
        self._script("dpkg-query", package)
        self.environment = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "LD_LIBRARY_PATH": str(folder / "lib"),
            "PYTHONPATH": str(self.packages),
            "TMPDIR": str(self.tmp),
            "SCANSIDE_CACHE": str(self.cache),
            "SCANSIDE_TRUST": "",
        }
        exports = "".join(f"export {name}='{text}'\n" for name, text in self.environment.items())
        self._script("scanside", f'{exports}exec {sys.executable} -m scanside.runtime "$@"')

    def _script(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def behave(self, **how: Any) -> None:
        """What its TensorRT does from now on: see fake_tensorrt.py."""
        (self.packages / "behaviour.json").write_text(json.dumps(how))
        self.building.unlink(missing_ok=True)

    @property
    def building(self) -> Path:
        """Is there from the moment when a build has begun; holds the process's id."""
        return self.packages / "building"

    def builds(self) -> bool:
        """Whether the process that began a build is alive."""
        return self.building.exists() and alive(int(self.building.read_text()))

    def adopt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this process's children see what programs on the device see."""
        for name, text in self.environment.items():
            monkeypatch.setenv(name, text)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.bin / "scanside"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def started_afresh(command: list[str]) -> subprocess.Popen[bytes]:
    """A program that heeds Ctrl-C, though the tests be run in the background, where none does."""
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,
    )
