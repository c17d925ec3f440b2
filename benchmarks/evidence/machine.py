"""The machine that a run was measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import msgspec

from scanside.runtime.engines.cpu import device_name

LIBRARIES = (
    "scanside",
    "numpy",
    "onnxruntime",
    "openvino",
    "torch",
    "pyzmq",
    "msgspec",
    "tensorrt",
)


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """cores: that the run was kept to. memory_mb: of the machine, 1e6 bytes. power: on a Jetson its
    power mode, clocks and temperature, in words; empty elsewhere."""

    name: str
    system: str
    cores: list[int]
    memory_mb: int
    python: str
    versions: dict[str, str]
    power: dict[str, str] = {}


def describe_machine() -> Machine:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        name=device_name(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=sorted(os.sched_getaffinity(0)),
        memory_mb=round(pages / 1e6),
        python=platform.python_version(),
        versions={name: found for name in LIBRARIES if (found := _version(name))},
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
