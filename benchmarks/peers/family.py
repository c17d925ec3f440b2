"""All processes that a server consists of, and the time they took, as /proc tells them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
SHARED = "/dev/shm/"
TICKS = os.sysconf("SC_CLK_TCK")


class _Entry(NamedTuple):
    """Of /proc/PID/stat. ticks: of processor time, with that of children it waited for; reaped:
    that of those children alone."""

    parent: int
    ticks: int
    reaped: int


def descendants(root: int) -> list[int]:
    """The processes below `root`, without it, zombies included."""
    return _below(root, _entries())


def processor_seconds(root: int) -> float:
    """User and system time of all that ever ran below `root`, in seconds, as long as whatever ended
    was waited for by its parent."""
    entries = _entries()
    own = entries[root].reaped if root in entries else 0
    return (own + sum(entries[pid].ticks for pid in _below(root, entries))) / TICKS


def shared_memory(pids: Iterable[int]) -> set[Path]:
    """The files of named shared memory that any of these processes has mapped."""
    found = set()
    for pid in pids:
        try:
            lines = (PROC / str(pid) / "maps").read_text().splitlines()
        except OSError:
            continue
        names = (line.split(maxsplit=5)[-1] for line in lines)
        found |= {Path(name) for name in names if name.startswith(SHARED) and Path(name).exists()}
    return found


def _entries() -> dict[int, _Entry]:
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                # The command's name, in brackets, may hold anything.
                words = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            user, system, reaped_user, reaped_system = map(int, words[11:15])
            reaped = reaped_user + reaped_system
            found[int(folder.name)] = _Entry(int(words[1]), user + system + reaped, reaped)
    return found


def _below(root: int, entries: dict[int, _Entry]) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, entry in entries.items():
        children.setdefault(entry.parent, []).append(pid)
    found: list[int] = []
    todo = [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found
