"""What tegrastats says. Its line drifts from release to release: each figure is sought alone."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from scanside.jetson.machine import Machine

WATCH_S = 1.5
"""It goes on until it is stopped; its first line comes after its interval."""
_INTERVAL_MS = "400"
_RAM = re.compile(r"\bRAM (\d{1,9})/(\d{1,9})MB")
_SWAP = re.compile(r"\bSWAP (\d{1,9})/(\d{1,9})MB")
# JetPack 6: GR3D_FREQ 10%@1300; 7 on Orin: 12%@[1300,1300]; on Thor: @[314,314,314]
_GPU = re.compile(r"\bGR3D_FREQ (?:(\d{1,3})%)?(?:@(?:\[([\d, ]*)\]|(\d{1,9})))?")
_HEAT = re.compile(r"\b([A-Za-z][\w-]*)@(-?\d+(?:\.\d+)?)C\b")
_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]*) (\d{1,9})mW")


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """gpu_percent: None where it is not told, as on Thor. gpu_mhz: one for each part of the GPU.
    celsius, milliwatts: by the names of sensors and rails."""

    ram_used_mb: int | None = None
    ram_total_mb: int | None = None
    swap_used_mb: int | None = None
    gpu_percent: int | None = None
    gpu_mhz: tuple[int, ...] = ()
    celsius: Mapping[str, float] = {}
    milliwatts: Mapping[str, int] = {}


def read_tegrastats(machine: Machine) -> Stats | None:
    """None without a tegrastats, or where it says nothing."""
    ran = machine.run("tegrastats", "--interval", _INTERVAL_MS, seconds=WATCH_S)
    lines = [line for line in ran.out.splitlines() if _RAM.search(line)] if ran else []
    return parse_stats(lines[-1]) if lines else None


def parse_stats(line: str) -> Stats:
    ram, swap, gpu = _RAM.search(line), _SWAP.search(line), _GPU.search(line)
    return Stats(
        ram_used_mb=int(ram[1]) if ram else None,
        ram_total_mb=int(ram[2]) if ram else None,
        swap_used_mb=int(swap[1]) if swap else None,
        gpu_percent=int(gpu[1]) if gpu and gpu[1] else None,
        gpu_mhz=tuple(map(int, re.findall(r"\d{1,9}", gpu[2] or gpu[3] or ""))) if gpu else (),
        celsius={found[1]: float(found[2]) for found in _HEAT.finditer(line)},
        milliwatts={found[1]: int(found[2]) for found in _RAIL.finditer(line)},
    )
