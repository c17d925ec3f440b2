"""Memory, which CPU and GPU share."""

from __future__ import annotations

import re

import msgspec

from scanside.jetson.machine import Machine

_LINE = re.compile(r"^(\w+):\s+(\d{1,15}) kB$", re.MULTILINE)


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """MiB. available: what programs could still get."""

    total_mb: int | None = None
    available_mb: int | None = None
    swap_mb: int | None = None


def read_memory(machine: Machine) -> Memory:
    text = machine.read("/proc/meminfo") or ""
    kib = {found[1]: int(found[2]) for found in _LINE.finditer(text)}

    def mebibytes(name: str) -> int | None:
        return kib[name] >> 10 if name in kib else None

    return Memory(
        total_mb=mebibytes("MemTotal"),
        available_mb=mebibytes("MemAvailable"),
        swap_mb=mebibytes("SwapTotal"),
    )
