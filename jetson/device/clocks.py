"""Clocks of the CPU and of the GPU."""

from __future__ import annotations

import re

import msgspec

from scanside.jetson.machine import Machine

_CPUS = "/sys/devices/system/cpu"
_DEVFREQ = "/sys/class/devfreq"
_NUMBER = re.compile(r"\d{1,15}")
_GPU = re.compile(r"gpu|ga10b|gv11b|gb10b|gp10b")


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """MHz; now, the most and the least that the power mode allows, and the most of the hardware."""

    name: str
    now: float | None = None
    most: float | None = None
    least: float | None = None
    hardware: float | None = None
    governor: str | None = None


class Clocks(msgspec.Struct, frozen=True, kw_only=True):
    """cpus_online: numbers of CPUs, as the kernel lists them (0-3,5)."""

    gpu: tuple[Clock, ...] = ()
    cpu: tuple[Clock, ...] = ()
    cpus_online: str | None = None
    cpus_present: str | None = None


def read_clocks(machine: Machine) -> Clocks:
    cpus = [name for name in machine.list(_CPUS) if re.fullmatch(r"cpu\d+", name)]
    return Clocks(
        gpu=tuple(
            _gpu(machine, name)
            for name in machine.list(_DEVFREQ)
            if _GPU.search(name.rpartition(".")[2])
        ),
        cpu=tuple(_cpu(machine, name) for name in cpus if machine.list(f"{_CPUS}/{name}/cpufreq")),
        cpus_online=machine.read(f"{_CPUS}/online"),
        cpus_present=machine.read(f"{_CPUS}/present"),
    )


def _gpu(machine: Machine, name: str) -> Clock:
    folder = f"{_DEVFREQ}/{name}"
    known = (machine.read(f"{folder}/available_frequencies") or "").split()
    steps = [int(word) / 1e6 for word in known if _NUMBER.fullmatch(word)]
    return Clock(
        name=name,
        now=_mhz(machine, f"{folder}/cur_freq", 1e6),
        most=_mhz(machine, f"{folder}/max_freq", 1e6),
        least=_mhz(machine, f"{folder}/min_freq", 1e6),
        hardware=max(steps, default=None),
        governor=machine.read(f"{folder}/governor"),
    )


def _cpu(machine: Machine, name: str) -> Clock:
    folder = f"{_CPUS}/{name}/cpufreq"
    return Clock(
        name=name,
        now=_mhz(machine, f"{folder}/scaling_cur_freq", 1e3),
        most=_mhz(machine, f"{folder}/scaling_max_freq", 1e3),
        least=_mhz(machine, f"{folder}/scaling_min_freq", 1e3),
        hardware=_mhz(machine, f"{folder}/cpuinfo_max_freq", 1e3),
        governor=machine.read(f"{folder}/scaling_governor"),
    )


def _mhz(machine: Machine, name: str, unit: float) -> float | None:
    try:
        return int(machine.read(name) or "") / unit
    except ValueError:
        return None
