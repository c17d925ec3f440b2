"""The first use of the driver and of a plan, in a child process that may crash or hang.

A segfault there is an expected failure: without a driver some versions of TensorRT crash at their
first use, and a plan that does not suit the device may do so when it is loaded. The daemon must
outlive both.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO

import msgspec

from scanside.runtime.engines.tensorrt.rehearsal import PHASE, Sent
from scanside.runtime.errors import EngineUnavailableError, ScansideError
from scanside.runtime.fingerprint import Fingerprint
from scanside.runtime.manifest import Manifest
from scanside.runtime.plan_lines import Line, printable, read_line, told_error

CHILD = "scanside.runtime.engines.tensorrt.rehearsal"
TIME_LIMIT_S = 120.0


class Trial:
    """A running child. `device` is what it found; `open` has it open a plan."""

    def __init__(
        self, process: subprocess.Popen[bytes], complaints: IO[bytes], late: threading.Event
    ) -> None:
        self._process = process
        self._complaints = complaints
        self._late = late
        first = self._line()
        if first.fingerprint is None:
            raise self._ended("told no fingerprint")
        self.device: Fingerprint = first.fingerprint

    def open(self, manifest: Manifest, plan: bytes) -> None:
        """Have the child open the plan and run it once; EngineUnavailableError if it cannot."""
        described = manifest.encode()
        sent = Sent(manifest=len(described), plan=len(plan))
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: what it said is read below
            self._process.stdin.write(msgspec.json.encode(sent) + b"\n" + described + plan)
            self._process.stdin.flush()  # left open: the child ends with it, and so with us
        if self._line().phase != PHASE:
            raise self._ended("did not say that it could open the plan")

    def _line(self) -> Line:
        assert self._process.stdout is not None
        try:
            line = read_line(self._process.stdout)
        except (ValueError, EOFError):
            line = None
            kill(self._process)
        if line is None:
            raise self._ended("ended")
        if line.error:
            raise _unavailable(told_error(line))
        return line

    def _ended(self, how: str) -> EngineUnavailableError:
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        code = self._process.wait()
        if self._late.is_set():
            return EngineUnavailableError(
                f"TensorRT did not open the plan within {TIME_LIMIT_S:.0f} s",
                next_step="restart the machine, then look into `dmesg` for nvgpu or NVRM",
            )
        self._complaints.seek(max(0, self._complaints.seek(0, os.SEEK_END) - 2000))
        said = printable(self._complaints.read().decode(errors="replace"))
        if code < 0 and -code in list(signal.Signals):
            how = f"crashed with {signal.Signals(-code).name}"
        return EngineUnavailableError(
            f"the child process that tries TensorRT {how}" + (f": {said}" if said else ""),
            next_step="build the plan again on this device, scanside plan FILE --force; if that "
            "crashes too, see `dmesg`",
        )


@contextlib.contextmanager
def trial() -> Iterator[Trial]:
    """A child that has asked the driver. Raises EngineUnavailableError without TensorRT, a driver
    or a GPU, when the child crashes, and when it takes longer than `TIME_LIMIT_S`."""
    command = [sys.executable, "-m", CHILD]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,
            cwd="/",  # with -m Python imports from there: not from wherever its caller stands
        ) as process,
    ):
        late = threading.Event()

        def end() -> None:
            late.set()
            kill(process)

        timer = threading.Timer(TIME_LIMIT_S, end)
        timer.start()
        try:
            yield Trial(process, complaints, late)
        finally:
            timer.cancel()
            kill(process)
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()


def kill(process: subprocess.Popen[bytes]) -> None:
    """It and all that it started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _unavailable(error: ScansideError) -> EngineUnavailableError:
    if isinstance(error, EngineUnavailableError):
        return error
    return EngineUnavailableError(error.message, next_step=error.next_step)
