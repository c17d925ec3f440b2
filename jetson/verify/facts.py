"""What machine this is, and how it stands at a moment: what the evidence's tables hold."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import msgspec

from scanside.jetson.device.clocks import read_clocks
from scanside.jetson.device.memory import read_memory
from scanside.jetson.device.module import read_module
from scanside.jetson.device.power import read_power
from scanside.jetson.device.release import read_release
from scanside.jetson.device.thermal import read_thermal
from scanside.jetson.machine import Machine
from scanside.runtime.engines.cpu import device_name, usable_threads
from scanside.runtime.platforms import release_of

MEBIBYTE = 1 << 20


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """The machine. jetson: one whose module is known here. serial: of the module, read off the
    device tree. All None on what is no Jetson, or does not tell."""

    jetson: bool
    module: str | None
    serial: str | None
    l4t: str | None
    jetpack: str | None
    processor: str
    cores: int
    memory_mb: int | None
    kernel: str
    python: str
    scanside: str


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """mode: of the power. celsius: the hottest zone's. throttling: what slows something down now,
    null where nothing here would tell. over_current: events since the start. gpu_mhz, cpu_mhz: each
    one's clock now. resident_mb: of this process; available_mb: of the machine."""

    mode: str | None
    celsius: float | None
    hottest: str | None
    throttling: tuple[str, ...] | None
    over_current: int | None
    gpu_mhz: tuple[float, ...]
    cpu_mhz: tuple[float, ...]
    resident_mb: float
    available_mb: int | None


def read_unit(machine: Machine) -> Unit:
    l4t, module = read_release(machine).l4t, read_module(machine)
    release = release_of(l4t) if l4t else None
    return Unit(
        jetson=l4t is not None and module.name is not None,
        module=module.name,
        serial=module.serial,
        l4t=l4t,
        jetpack=release.jetpack if release else None,
        processor=device_name(),
        cores=usable_threads(),
        memory_mb=read_memory(machine).total_mb,
        kernel=platform.release(),
        python=platform.python_version(),
        scanside=version("scanside"),
    )


def read_moment(machine: Machine) -> Moment:
    thermal, clocks = read_thermal(machine), read_clocks(machine)
    hottest = thermal.hottest
    return Moment(
        mode=read_power(machine).current,
        celsius=hottest.celsius if hottest else None,
        hottest=hottest.name if hottest else None,
        throttling=thermal.throttling if thermal.watched else None,
        over_current=thermal.over_current,
        gpu_mhz=tuple(clock.now for clock in clocks.gpu if clock.now),
        cpu_mhz=tuple(clock.now for clock in clocks.cpu if clock.now),
        resident_mb=resident_mb(),
        available_mb=read_memory(machine).available_mb,
    )


def resident_mb() -> float:
    """Of this process, MiB."""
    with open("/proc/self/statm") as stream:
        pages = int(stream.read().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE, 1)
