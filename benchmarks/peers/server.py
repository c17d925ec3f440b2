"""The benchmark's end of a server: started, found, and gone when the block ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scanside.benchmarks.peers.family import descendants, processor_seconds
from scanside.runtime.errors import BenchmarkError

READY_S = 120.0
GRACE_S = 10.0
STOP_S = 30.0
READY = "ready: "
LAST_WORDS = 300


class Server:
    """One that runs. keeper: the process that all of its processes are below. started: when, on the
    monotonic clock. address: where clients find it."""

    def __init__(self, process: subprocess.Popen[str], address: str, log: Path) -> None:
        self._process = process
        self._log = log
        self._said_ready = threading.Event()
        self._over = threading.Event()
        self.address = address
        assert process.stdout is not None
        first = process.stdout.readline().split()
        if first[:1] != ["started"]:
            raise BenchmarkError("a server of the benchmark could not be started")
        self.started = float(first[1])
        self._reader = threading.Thread(target=self._read, name="server's output", daemon=True)
        self._reader.start()

    @property
    def keeper(self) -> int:
        return self._process.pid

    @property
    def over(self) -> bool:
        """Whether all of its processes are gone, or have closed their output."""
        return self._over.is_set()

    def processor_seconds(self) -> float:
        return processor_seconds(self.keeper)

    def processes(self) -> list[int]:
        return descendants(self.keeper)

    def wait_ready(self) -> None:
        """For a server that says so (`READY`), and where it is: ours. Raises BenchmarkError."""
        until = time.monotonic() + READY_S
        while not self._said_ready.wait(0.05):
            if self.over or time.monotonic() > until:
                raise self.failure("ended before it was ready" if self.over else "is never ready")

    def close(self) -> None:
        """Its processes are gone: so is its output."""
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def failure(self, what: str) -> BenchmarkError:
        return BenchmarkError(f"the server {what}: {self.last_words() or 'it said nothing'}")

    def last_words(self) -> str:
        """The end of what it wrote to stderr, in one line."""
        try:
            text = self._log.read_text(errors="replace")
        except OSError:
            return ""
        return " ".join(text.split())[-LAST_WORDS:]

    def _read(self) -> None:
        """Read to the end, or its pipe would fill up and stop it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(READY):
                self.address = line.removeprefix(READY).split(",")[0].strip()
                self._said_ready.set()
        self._over.set()


@contextmanager
def kept(
    command: Sequence[str], address: str, folder: Path, grace: float = GRACE_S
) -> Iterator[Server]:
    """Run a server while the block runs, below a keeper (`scanside.benchmarks.peers.keeper`) that
    ends it whatever becomes of this process. folder: for whatever it writes. grace: seconds that it
    has to end by itself."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        log = Path(own) / "log"
        environment = {**os.environ, "TMPDIR": own, "PYTRITON_HOME": own}
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "scanside.benchmarks.peers.keeper",
                str(log),
                str(grace),
                *command,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C at a terminal is for the benchmark alone
        )
        server = None
        try:
            server = Server(process, address, log)
            yield server
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:  # it has killed by now: only it can be left
                process.kill()
                process.wait()
            if server is not None:
                server.close()


def free_ports(count: int) -> list[int]:
    """So many tcp ports of the loopback address that nobody listens on."""
    opened = [socket.socket() for _ in range(count)]
    try:
        for one in opened:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in opened]
    finally:
        for one in opened:
            one.close()
