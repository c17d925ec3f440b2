"""What is busy while frames flow: the engine, the daemon, the clients."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from scanside.benchmarks.scale.cells import Placing
from scanside.benchmarks.serving.worker import Work

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
NANOSECONDS = 1e9
ENGINE = "engine and guard"
THREAD = "the daemon's busiest thread"
DAEMON = "the daemon's cores"
CLIENT = "the busiest client"
CLIENTS = "the clients' cores"
EVERY = "all cores, which both share"
FULL = 0.85
"""A part that is busy for so large a share of the time is what saturates: the rest is lost between
two pieces of work."""


def thread_seconds(pid: int, proc: Path = PROC) -> dict[int, float]:
    """Processor time of each of a process's threads, by its number. From schedstat, in ns; from
    stat, in ticks of usually 10 ms, where the kernel keeps none."""
    found = {}
    for folder in (proc / str(pid) / "task").iterdir():
        try:
            found[int(folder.name)] = _seconds(folder)
        except OSError:  # it ended meanwhile
            continue
    return found


def _seconds(folder: Path) -> float:
    try:
        return int((folder / "schedstat").read_text().split()[0]) / NANOSECONDS
    except (FileNotFoundError, IndexError):
        # The thread's name, in brackets, may hold anything.
        words = (folder / "stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / TICKS


def busy_parts(
    before: Mapping[int, float],
    after: Mapping[int, float],
    works: Sequence[Work],
    placing: Placing,
    seconds: float,
) -> dict[str, float]:
    """Share of a block's time that each part was busy, 0 to 1. before, after: the daemon's threads.
    The engine's is by the daemon's own clock, which runs on while others have the core."""
    threads = [after[one] - before.get(one, 0.0) for one in after]
    daemon, clients = sum(threads), sum(one.processor_s for one in works)
    shares = {
        ENGINE: sum(one.inference_s for one in works) / seconds,
        THREAD: max(threads, default=0.0) / seconds,
        CLIENT: max(one.processor_s for one in works) / seconds,
    }
    if placing.shared:
        return shares | {EVERY: (daemon + clients) / (seconds * len(placing.daemon))}
    return shares | {
        DAEMON: daemon / (seconds * len(placing.daemon)),
        CLIENTS: clients / (seconds * len(placing.clients)),
    }


def what_saturates(shares: Mapping[str, float]) -> str:
    """In words: all that is busy nearly all the time, busiest first."""
    full = sorted((name for name in shares if shares[name] >= FULL), key=lambda name: -shares[name])
    if full:
        return ", ".join(f"{name} ({shares[name]:.0%})" for name in full)
    name = max(shares, key=lambda one: shares[one])
    return f"nothing is busy all the time; most of all {name} ({shares[name]:.0%})"
