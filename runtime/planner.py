"""Building a plan on this machine: a child process with a time limit, and what it leaves behind.

TensorRT may crash, hang or take all memory; so it builds in a process of its own, started by its
command line. The plan appears under its key, whole, or not at all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from scanside.runtime.bundle import Bundle
from scanside.runtime.cache import cache_folder
from scanside.runtime.errors import PlanError
from scanside.runtime.fingerprint import Fingerprint
from scanside.runtime.kept_plans import keep_plan
from scanside.runtime.plan_lines import Line, printable, read_line, told_error
from scanside.runtime.plans import (
    BUILDER_MODULE,
    DEFAULT_TIME_LIMIT_S,
    LARGEST_EVIDENCE_BYTES,
    Evidence,
    check_evidence,
    plan_keys,
)

PROBE_LIMIT_S = 120.0
Show = Callable[[Line], None]
"""Told each phase."""


class KeptPlan(NamedTuple):
    """A plan in a folder: FOLDER/<key>.plan with its evidence, FOLDER/<key>.json."""

    path: Path
    evidence: Evidence


def plans_folder() -> Path:
    """Where plans of this user are kept."""
    return cache_folder() / "plans"


def probe(time_limit_s: float = PROBE_LIMIT_S) -> Fingerprint:
    """The fingerprint of this machine, asked in a child process: the driver may crash or hang.

    Raises EngineUnavailableError without TensorRT, a driver or a GPU; PlanError where the child
    does not answer.
    """
    last = _run(["--probe"], time_limit_s, lambda line: None)
    if last.fingerprint is None:
        raise PlanError("the builder told no fingerprint")
    return last.fingerprint


def kept_plan(bundle: Bundle, device: Fingerprint, folder: Path) -> KeptPlan | None:
    """The plan that a folder keeps of this bundle for this device, the best source first; None
    where there is none or it is not what its evidence says."""
    for key in plan_keys(bundle.manifest, device).values():
        path = folder / f"{key}.plan"
        try:
            with path.with_suffix(".json").open("rb") as stream:
                evidence = msgspec.json.decode(stream.read(LARGEST_EVIDENCE_BYTES), type=Evidence)
            if path.stat().st_size != evidence.size:  # whose largest is known: before it is read
                continue
            check_evidence(evidence, path.read_bytes(), bundle.manifest)
        except (OSError, ValueError, PlanError):
            continue
        if evidence.key == key:
            return KeptPlan(path, evidence)
    return None


def build_plan_file(
    file: Path, folder: Path, show: Show, time_limit_s: float = DEFAULT_TIME_LIMIT_S
) -> KeptPlan:
    """Build the plan of the bundle `file` for this machine into a folder.

    Raises PlanError when TensorRT cannot build, crashes or takes longer than the limit (s),
    EngineUnavailableError where it cannot be used here, BundleError for the file.
    """
    bundle = Bundle.open(file)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Not in `folder`: whatever ends us, nothing half-written is ever there.
        with tempfile.TemporaryDirectory(prefix="scanside-build-") as scratch:
            out = Path(scratch) / "plan"
            timing = (cache_folder() / "timing").absolute()
            command = [str(file.absolute()), str(out), "--timing", str(timing)]
            evidence = _run(command, time_limit_s, show).plan
            if evidence is None or not out.is_file():
                raise PlanError("the builder ended without a plan")
            data = out.read_bytes()
        check_evidence(evidence, data, bundle.manifest)
        path = keep_plan(folder, data, evidence)
    except OSError as error:
        raise PlanError(
            f"the plan cannot be kept in {folder}: {error.strerror}",
            next_step="choose another folder with --out, or make room",
        ) from error
    return KeptPlan(path, evidence)


def _run(arguments: list[str], time_limit_s: float, show: Show) -> Line:
    """The last line of the child; raises the error that it tells, or PlanError for how it ended."""
    command = [sys.executable, "-m", BUILDER_MODULE, "--tied", *arguments]
    last, nonsense = Line(), ""
    with tempfile.TemporaryFile() as complaints, _child(command, complaints, time_limit_s) as child:
        assert child.process.stdout is not None
        while True:
            try:
                line = read_line(child.process.stdout)
            except (ValueError, EOFError) as error:
                nonsense = str(error)
                break
            if line is None:
                break
            last = line
            if line.phase:
                show(line)
        if nonsense:
            child.kill()
        code = child.process.wait()
        if last.error:
            raise told_error(last)
        if code == 0 and not nonsense:
            return last
        complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - 2000))
        said = printable(complaints.read().decode(errors="replace"))
    raise _ended(code, nonsense, said, time_limit_s if child.late else 0.0)


def _ended(code: int, nonsense: str, said: str, limit_s: float) -> PlanError:
    if limit_s:
        return PlanError(
            f"the plan was not built within {limit_s / 60:.3g} minutes",
            next_step="give it longer with --time-limit; a first build can take 10 minutes",
        )
    trailing = f": {said}" if said else ""
    if nonsense:
        return PlanError(f"the builder's answer cannot be read ({nonsense}){trailing}")
    if code < 0:
        name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        advice = (
            "the kernel may have run out of memory: see `dmesg`, stop other programs"
            if -code == signal.SIGKILL
            else "TensorRT or the driver is at fault: see `dmesg`, and keep this message"
        )
        return PlanError(f"the builder crashed with {name}{trailing}", next_step=advice)
    return PlanError(f"the builder ended with {code}{trailing}")


class _Child:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.late = False

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        if self.process.poll() is None:
            self.late = True
            self.kill()


@contextlib.contextmanager
def _child(command: list[str], complaints: IO[bytes], time_limit_s: float) -> Iterator[_Child]:
    """A process in a group of its own, which is killed when the block ends in whatever way, and at
    the time limit. Its stdin stays open as long as we live: it ends with that."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        start_new_session=True,
        cwd="/",  # with -m Python imports from there: not from wherever its caller stands
    ) as process:
        child = _Child(process)
        timer = threading.Timer(time_limit_s, child.end)
        timer.start()
        try:
            yield child
        finally:
            timer.cancel()
            if process.poll() is None:
                child.kill()
