"""Whether there is memory for a second model beside the one that serves."""

from __future__ import annotations

from pathlib import Path

from scanside.runtime.errors import SwapError

ROOT = Path("/")
MARGIN = 128 << 20
MIB = 1 << 20


def check_room_for_another(budget_mb: int = 0, root: Path = ROOT) -> None:
    """Raise SwapError where this machine has less memory to give than a second model needs, and a
    margin.

    budget_mb: what its manifest grants it (MiB); 0 where that is not known: then it is taken to
    need what this process holds already. Where the kernel does not tell, nothing is refused: the
    swap may fail later, and the model that serves goes on.
    """
    free, need = available(root), budget_mb * MIB or resident(root)
    if free is not None and need is not None and free < need + MARGIN:
        raise SwapError(
            f"{free // MIB} MiB of memory are free, and a second model beside this one may need "
            f"{(need + MARGIN) // MIB}",
            next_step="stop other programs, or install the bundle and restart the daemon",
        )


def available(root: Path = ROOT) -> int | None:
    """Bytes that this process may still get: of the machine and, under systemd, of its unit
    (cgroup v2, memory.max); None where neither is told."""
    machine = _field(root / "proc/meminfo", "MemAvailable:")
    group = _group(root)
    told = [one for one in (None if machine is None else machine * 1024, group) if one is not None]
    return min(told, default=None)


def resident(root: Path = ROOT) -> int | None:
    """Bytes of memory that this process holds."""
    held = _field(root / "proc/self/status", "VmRSS:")
    return None if held is None else held * 1024


def _group(root: Path) -> int | None:
    """What the limits of our cgroup and of those above it leave."""
    lines = _text(root / "proc/self/cgroup").splitlines()
    inside = next((line[3:].strip("/") for line in lines if line.startswith("0::")), None)
    if inside is None:
        return None
    top = root / "sys/fs/cgroup"
    folder, left = top / inside, []
    while folder == top or top in folder.parents:
        limit, used = _text(folder / "memory.max"), _text(folder / "memory.current")
        if limit.isdigit() and used.isdigit():
            left.append(max(0, int(limit) - int(used)))
        folder = folder.parent
    return min(left, default=None)


def _field(file: Path, name: str) -> int | None:
    """The number of a line `name 123 kB`."""
    for line in _text(file).splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == name and words[1].isdigit():
            return int(words[1])
    return None


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
