"""The plan that TensorRT needs and this device has not built yet: built before the engine opens."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from scanside.runtime.bundle import Bundle
from scanside.runtime.daemon.journal import event, failure
from scanside.runtime.engines.choose import AUTO, TENSORRT
from scanside.runtime.engines.tensorrt.libraries import version as tensorrt_version
from scanside.runtime.engines.tensorrt.lookup import find_plan
from scanside.runtime.errors import EngineError, EngineUnavailableError
from scanside.runtime.plan_lines import Line
from scanside.runtime.planner import build_plan_file, probe


def build_missing_plan(bundle: Bundle, file: Path, engine: str, folders: Sequence[Path]) -> None:
    """Build the plan of `bundle`, whose file is `file`, into the first of `folders`, unless it is
    there, the engine needs none, or this machine has no TensorRT or GPU.

    It takes minutes, in a process of its own. Raises what `build_plan_file` raises where TensorRT
    is the engine that was named; for `auto` that is logged, and another engine may serve.
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

    def show(line: Line) -> None:
        if line.phase not in phases:
            phases.append(line.phase)
            event("building", phase=line.phase)

    try:
        kept = build_plan_file(file, folders[0], show)
    except EngineError as error:
        if engine == TENSORRT:
            raise
        failure("plan not built", error)
        return
    event("plan built", seconds=round(kept.evidence.seconds, 1))
