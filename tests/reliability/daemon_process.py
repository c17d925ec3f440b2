"""A real `scanside serve` in a process of its own, and what /proc says of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from bundles import write_test_bundle

PROGRAM = [sys.executable, "-W", "error", "-c", "from scanside.runtime.cli import main; main()"]
TRANSPORTS = ("tcp", "ipc", "shm")
"""tcp and ipc carry the pixels in messages; shm is ipc with memory that both sides share."""
RESIDUAL = 0.01
"""What the near-identity network adds in [0, 1]: 4 of the 400 HU of the window."""
NOTED = ("message failed", "engine error", "self-test failed", "command failed")
"""Events of the daemon's log that no client's doing may cause."""


class Sample(NamedTuple):
    """Of one process. rss_kib: resident memory. at_s: on time.monotonic."""

    at_s: float
    rss_kib: int
    descriptors: int
    threads: int


def sample(process: int) -> Sample:
    """Memory, descriptors and threads of a process, now."""
    status = Path(f"/proc/{process}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return Sample(
        time.monotonic(),
        int(fields["VmRSS"].split()[0]),
        len(os.listdir(f"/proc/{process}/fd")),
        int(fields["Threads"]),
    )


class DaemonProcess:
    """Starts at once and is READY when the constructor returns; `restart` after `kill` takes the
    same address again.

    folder: for its bundle, log and sockets. transport: one of TRANSPORTS. options: more words for
    `scanside serve`. environment: more variables. start_s: seconds from exec to the line `ready`.
    """

    def __init__(
        self,
        folder: Path,
        transport: str = "tcp",
        *options: str,
        bundle: Path | None = None,
        environment: Mapping[str, str] | None = None,
        before: tuple[str, ...] = (),
    ) -> None:
        self.bundle = bundle or near_identity(folder)
        self.transport = transport
        self.url = address(transport)
        self.log = folder / "daemon.log"
        self.temporary = folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.start_s = 0.0
        self._command = [*before, *PROGRAM, "serve", str(self.bundle), "--allow-unsigned"]
        self._command += ["--engine", "onnxruntime", "--threads", "1", "--bind", self.url, *options]
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
        self._environment |= {"TMPDIR": str(self.temporary), "SCANSIDE_CACHE": str(folder / "c")}
        self.process: subprocess.Popen[str]
        self.start()

    def start(self) -> None:
        """Start it, and wait for its line `ready`. AssertionError with its log when none comes."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, text=True, env=self._environment
            )
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        self.start_s = time.monotonic() - began
        assert ready.startswith("ready: "), self.log.read_text()[-2000:]

    def sample(self) -> Sample:
        return sample(self.process.pid)

    def kill(self) -> None:
        """kill -9, as the kernel's out-of-memory killer or a watchdog does it."""
        self.process.kill()
        self.process.wait()
        self._close_pipe()

    def stop(self, timeout_s: float = 30) -> int:
        """SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout_s)
        self._close_pipe()
        return code

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def noted(self) -> Counter[str]:
        """How often its log holds events that should not be there, and lines that are no event."""
        found: Counter[str] = Counter()
        for line in self.log.read_text().splitlines():
            try:
                event = json.loads(line).get("event", "")
            except ValueError:
                event = "not an event"
            if event in (*NOTED, "not an event"):
                found[event] += 1
        return found

    def __enter__(self) -> DaemonProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.alive:
            self.kill()
        self._close_pipe()

    def _close_pipe(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()


def near_identity(folder: Path) -> Path:
    """The bundle of a network whose every answer NumPy knows."""
    path = folder / "near-identity.scanside"
    return path if path.exists() else write_test_bundle(path, residual=RESIDUAL)


def address(transport: str) -> str:
    """A free address that a daemon can take again after its death."""
    if transport == "tcp":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    # A path of a Unix socket has room for 107 characters: never below a test's long folder.
    return f"ipc://{tempfile.mkdtemp(prefix='scanside-')}/daemon"
