"""A daemon in a process of its own, for the demo and the benchmarks."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from scanside.runtime.errors import ServerUnreachableError

READY_S = 120.0
STOP_S = 15.0


class Served(NamedTuple):
    """A daemon that is READY. start_s: from the start of its process to its `ready` line."""

    url: str
    pid: int
    start_s: float


@contextmanager
def serving(bundle: Path, *options: str) -> Iterator[str]:
    """Run `scanside serve BUNDLE` while the block runs; yields its URL once it is READY."""
    with daemon_of(bundle, *options) as served:
        yield served.url


@contextmanager
def daemon_of(bundle: Path, *options: str) -> Iterator[Served]:
    """As `serving`, with what else can be told of its process. options: a --bind among them
    replaces the free port on tcp."""
    command = [sys.executable, "-m", "scanside.runtime", "serve", str(bundle)]
    command += ["--bind", "tcp://127.0.0.1:*", *options]
    start = time.perf_counter()
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = _url(daemon)
        yield Served(url, daemon.pid, time.perf_counter() - start)
    finally:
        daemon.terminate()
        try:
            daemon.wait(STOP_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        if daemon.stdout is not None:
            daemon.stdout.close()


def _url(daemon: subprocess.Popen[str]) -> str:
    """The address in the daemon's `ready` line. A daemon that never says it is killed in time."""
    assert daemon.stdout is not None
    watchdog = threading.Timer(READY_S, daemon.kill)
    watchdog.start()
    try:
        for line in daemon.stdout:
            if line.startswith("ready: "):
                return line.removeprefix("ready: ").split(",")[0].strip()
    finally:
        watchdog.cancel()
    raise ServerUnreachableError(
        "the daemon ended before it was ready",
        next_step="run `scanside serve` on the same bundle by hand to see why",
    )
