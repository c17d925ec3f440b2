"""Keeps one server, and lets none of its processes outlive whoever asked for it.

``python -m scanside.benchmarks.peers.keeper LOG GRACE COMMAND...`` runs the command, whose stderr
goes to the file LOG, and says when it began (`started SECONDS`, of the monotonic clock); what the
command prints follows. When its own stdin ends, because it was closed or because the process at its
other end is no more, it interrupts the command, waits for GRACE seconds at most, and kills all that
is left. Orphans of the command become the keeper's children, so that none escapes; shared memory
that they leave behind is removed (PyTriton's stays when it is killed).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time

from scanside.benchmarks.peers.family import descendants, shared_memory

PR_SET_CHILD_SUBREAPER = 36


def main(log: str, grace: str, *command: str) -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # the end of stdin is the only order
    sys.stdout.write(f"started {time.monotonic()}\n")
    sys.stdout.flush()
    with open(log, "wb") as stderr:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=_default_signals,
        )
    os.close(1)  # whoever reads it sees its end when the server's last process is gone
    sys.stdin.buffer.read()
    shared = shared_memory(descendants(os.getpid()))
    with contextlib.suppress(ProcessLookupError):
        server.send_signal(signal.SIGINT)
    if not _gone(float(grace)):
        while not _gone(0.2):
            for pid in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    for path in shared:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _default_signals() -> None:
    """What is ignored would stay so in the server."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)


def _gone(within: float) -> bool:
    """Whether no process is left below this one after so many seconds at most."""
    until = time.monotonic() + within
    while True:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not descendants(os.getpid()):
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # its stdout is closed: a flush at exit would complain
