"""The machine that a run was measured on."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from scanside.runtime.engines.cpu import device_name

STAT = Path("/proc/stat")
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
    power mode, clocks and temperature, in words; empty elsewhere. others: cores that were busy
    with the work of others when the run had ended; None where that cannot be told."""

    name: str
    system: str
    cores: list[int]
    memory_mb: int
    python: str
    versions: dict[str, str]
    power: dict[str, str] = {}
    others: float | None = None


def describe_machine() -> Machine:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        name=device_name(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=sorted(os.sched_getaffinity(0)),
        memory_mb=round(pages / 1e6),
        python=platform.python_version(),
        versions={name: found for name in LIBRARIES if (found := _version(name))},
        others=busy_cores(),
    )


def busy_cores(seconds: float = 0.5, stat: Path = STAT) -> float | None:
    """Cores of the machine that work while this process sleeps, the hypervisor's own use of them
    (steal) included; None where the kernel does not say."""
    try:
        first = _busy_ticks(stat)
        start = time.monotonic()
        time.sleep(seconds)
        ticks = _busy_ticks(stat) - first
    except (OSError, ValueError):
        return None
    return round(ticks / os.sysconf("SC_CLK_TCK") / (time.monotonic() - start), 2)


def _busy_ticks(stat: Path) -> int:
    """Of all cores since the machine's start: user, nice, system, irq, softirq and steal; not idle,
    nor idle waiting for a disk."""
    line = stat.read_text().partition("\n")[0].split()
    user, nice, system, _, _, *rest = map(int, line[1:9])
    return user + nice + system + sum(rest)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
