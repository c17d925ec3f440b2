"""The plan that TensorRT needs and this device has not built yet: built before the engine opens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scanside.runtime.bundle import Bundle
from scanside.runtime.daemon.journal import event, failure
from scanside.runtime.engines.choose import AUTO, TENSORRT
from scanside.runtime.engines.tensorrt.libraries import version as tensorrt_version
from scanside.runtime.engines.tensorrt.lookup import find_plan
from scanside.runtime.errors import EngineError, EngineUnavailableError
from scanside.runtime.plan_lines import Line, printable
from scanside.runtime.planner import build_plan_file, probe

TELL_S = 1.0


def build_missing_plan(
    bundle: Bundle, file: Path, engine: str, folders: Sequence[Path], tell: Callable[[str], None]
) -> None:
    """Build the plan of `bundle`, whose file is `file`, into the first of `folders`, unless it is
    there, the engine needs none, or this machine has no TensorRT or GPU.

    It takes minutes, in a process of its own; `tell` is told each phase, and about once a second
    how far it is. A plan that is not what its evidence says counts as missing.

    Raises what `build_plan_file` raises where TensorRT is the engine that was named; for `auto`
    that is logged, and another engine may serve.
    """
    if engine not in (AUTO, TENSORRT):
        return
    try:
        tensorrt_version()
        device = probe()
    except EngineError:
        return  # opening the engine says why, where it was named
    with contextlib.suppress(EngineUnavailableError):
        find_plan(bundle, device, folders)
        return
    phases: list[str] = []
    following = 0.0

    def show(line: Line) -> None:
        nonlocal following
        phase = printable(line.phase)
        if phase not in phases:
            phases.append(phase)
            event("building", phase=phase)
        elif time.monotonic() < following:
            return
        following = time.monotonic() + TELL_S
        tell(f"{phase} {100 * line.done // line.steps}%" if line.steps else phase)

    try:
        kept = build_plan_file(file, folders[0], show)
    except EngineError as error:
        if engine == TENSORRT:
            raise
        failure("plan not built", error)
        return
    event("plan built", seconds=round(kept.evidence.seconds, 1))
