"""A device as it is found: one reader per subsystem, each a function of a `Machine`.

Every reader returns a small struct. What is not there, cannot be read or does not answer in time is
None, never a guess; nothing is changed, and no reader needs root. Not verified on hardware.

::

    release     L4T and Ubuntu                    memory      MemTotal, MemAvailable
    module      by TNSPEC, else the device tree   disk        room and mounts of our folders
    packages    nvidia-l4t-*, TensorRT, cuDNN     nodes       /dev, groups and users
    power       nvpmodel.conf and nvpmodel -q     python      interpreters, bindings, pycuda, CUDA
    thermal     zones, throttling, fan            clock       date and timedatectl
    clocks      of CPU and GPU                    appliance   what of Scanside is there
    tegrastats  one line of it
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec

from scanside.jetson.device.appliance import Appliance, read_appliance
from scanside.jetson.device.clock import TimeOfDay, read_time
from scanside.jetson.device.clocks import Clocks, read_clocks
from scanside.jetson.device.disk import Room, read_disk
from scanside.jetson.device.memory import Memory, read_memory
from scanside.jetson.device.module import DeviceModule, read_module
from scanside.jetson.device.nodes import Access, read_access
from scanside.jetson.device.packages import Packages, read_packages
from scanside.jetson.device.power import Power, read_power
from scanside.jetson.device.python import Python, read_python
from scanside.jetson.device.release import SystemRelease, read_release
from scanside.jetson.device.tegrastats import Stats, read_tegrastats
from scanside.jetson.device.thermal import Thermal, read_thermal
from scanside.jetson.device.watching import Watching
from scanside.jetson.machine import Machine


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """unreadable: files and folders that are there and could not be read by whoever asked."""

    release: SystemRelease
    module: DeviceModule
    packages: Packages
    power: Power
    thermal: Thermal
    clocks: Clocks
    stats: Stats | None
    memory: Memory
    disk: tuple[Room, ...]
    access: Access
    python: Python
    time: TimeOfDay
    appliance: Appliance
    unreadable: tuple[str, ...] = ()


_READERS = {
    "release": read_release,
    "module": read_module,
    "packages": read_packages,
    "power": read_power,
    "thermal": read_thermal,
    "clocks": read_clocks,
    "stats": read_tegrastats,
    "memory": read_memory,
    "disk": read_disk,
    "access": read_access,
    "python": read_python,
    "time": read_time,
    "appliance": read_appliance,
}


def read_device(machine: Machine) -> Device:
    """Read everything, side by side: tools that hang cost the longest of their limits, not the
    sum."""
    watching = Watching(machine.root)
    with ThreadPoolExecutor(len(_READERS)) as pool:
        found = {name: pool.submit(reader, watching) for name, reader in _READERS.items()}
    parts = {name: answer.result() for name, answer in found.items()}
    return Device(unreadable=tuple(sorted(watching.refused)), **parts)  # type: ignore[arg-type]
