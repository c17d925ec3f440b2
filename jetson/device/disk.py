"""Room on the disks that the appliance writes to, and whether it may write there at all."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import msgspec

from scanside.jetson import layout
from scanside.jetson.machine import Machine

FOLDERS = (layout.STORE, layout.APPLICATION, layout.LOGS)
_SECONDS = 8.0
_NUMBER = re.compile(r"\d{1,15}")


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """folder: of the appliance, whether it is there yet or not. mount: of the file system that it
    lies on or will lie on. writable: by its mount options."""

    folder: str
    mount: str | None = None
    free_mb: int | None = None
    size_mb: int | None = None
    free_inodes: int | None = None
    writable: bool | None = None


def read_disk(machine: Machine) -> tuple[Room, ...]:
    mounts = _mounts(machine)
    with ThreadPoolExecutor(len(FOLDERS)) as pool:  # df hangs where a disk or a server does
        return tuple(pool.map(lambda folder: _room(machine, folder, mounts), FOLDERS))


def _room(machine: Machine, folder: str, mounts: dict[str, set[str]]) -> Room:
    there = folder
    while there != "/" and not machine.has(there):
        there = there.rpartition("/")[0] or "/"
    size_kib, free_kib, mount = _df(machine, "-k", there)
    inodes, free_inodes, _ = _df(machine, "-i", there)
    above = [one for one in mounts if one == "/" or f"{there}/".startswith(f"{one}/")]
    holder = max(above, key=len, default=None)
    return Room(
        folder=folder,
        mount=mount or holder,
        free_mb=None if free_kib is None else free_kib >> 10,
        size_mb=None if size_kib is None else size_kib >> 10,
        free_inodes=free_inodes if inodes else None,
        writable=None if holder is None else "ro" not in mounts[holder],
    )


def _mounts(machine: Machine) -> dict[str, set[str]]:
    """Folder -> its mount's options. What is mounted last on a folder is what is seen."""
    lines = (line.split() for line in (machine.read("/proc/mounts") or "").splitlines())
    return {words[1]: set(words[3].split(",")) for words in lines if len(words) > 3}


def _df(machine: Machine, unit: str, folder: str) -> tuple[int | None, int | None, str | None]:
    """In all, free, and where it is mounted; with -i of inodes, which some file systems lack."""
    ran = machine.run("df", "-P", unit, folder, seconds=_SECONDS)
    words = ran.out.splitlines()[-1].split() if ran and ran.code == 0 and ran.out else []
    if len(words) < 6 or not (_NUMBER.fullmatch(words[1]) and _NUMBER.fullmatch(words[3])):
        return None, None, None
    return int(words[1]), int(words[3]), words[5]
