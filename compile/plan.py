"""ONNX -> a TensorRT plan, on the machine whose GPU will run it. Not verified on hardware.

Imports nothing of the workstation's: tensorrt, numpy and scanside.runtime alone, so that a device
can start it as a child process (`python -m scanside.compile.plan`), which may crash or hang without
taking the daemon with it. Progress comes as JSON lines on stdout. One code path for TensorRT 10.3,
10.13, 10.16 and 11.4; what each of them offers is pinned by tests against the genuine bindings.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from scanside.runtime.bundle import Bundle
from scanside.runtime.errors import EngineUnavailableError, PlanError, ScansideError
from scanside.runtime.files import replace_file
from scanside.runtime.fingerprint import Fingerprint, fingerprint
from scanside.runtime.manifest import MEBIBYTE
from scanside.runtime.plan_lines import Line, say, say_error
from scanside.runtime.plans import (
    SOURCES,
    Evidence,
    Settings,
    label_of,
    plan_key,
    settings_of,
)

if TYPE_CHECKING:  # checked against stubs made from the genuine bindings, by a test
    import tensorrt as trt

INPUT = "image"
MOST_LOG_LINES, LOG_LINE = 200, 500
_INT8 = re.compile(r"int8", re.IGNORECASE)
Progress = Callable[[str, int, int], None]
"""Told the phase, the steps done and the steps in all."""
_Thing = TypeVar("_Thing")


class Plan(NamedTuple):
    """data: the serialised engine. layers: what the inspector calls them. int8: how many of them
    work on INT8. source: which file of the bundle it was built from. cache: the timing cache after.
    log: TensorRT's warnings."""

    data: bytes
    layers: tuple[str, ...]
    int8: int
    source: str
    cache: bytes
    log: tuple[str, ...]


def tensorrt_version() -> str:
    """What the bindings call themselves. Raises EngineUnavailableError where they are not installed
    or cannot load."""
    try:
        import tensorrt as trt
    except (ImportError, OSError) as error:
        raise EngineUnavailableError(
            "TensorRT's Python bindings cannot be loaded here",
            next_step="on a Jetson: apt install python3-libnvinfer, and a venv with "
            "--system-site-packages",
        ) from error
    return str(trt.__version__)


def build_plan(bundle: Bundle, settings: Settings, progress: Progress, cache: bytes = b"") -> Plan:
    """Build from model.trt.onnx; where that fails on this device, from model.onnx, and say so.

    cache: a timing cache, of any TensorRT. Raises PlanError with everything that TensorRT had to
    say, and for a plan without INT8.
    """
    names = [name for name in SOURCES if name in bundle.names]
    failed: list[str] = []
    for name in names:
        try:
            plan = _build(bundle.member(name), settings, progress, cache)
        except PlanError as error:
            failed.append(f"{name}: {error.message}")
            continue
        return plan._replace(source=name, log=(*failed, *plan.log))
    raise PlanError(
        "no plan could be built: " + "; ".join(failed),
        next_step="keep this message: it is what NVIDIA's forum asks for",
    )


def _build(onnx: bytes, settings: Settings, progress: Progress, old: bytes) -> Plan:
    import tensorrt as trt

    logger = _logger()
    builder = _made(trt.Builder(logger), "builder", logger)
    # By name and shifted: the numbers behind the names changed from version to version.
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = _made(builder.create_network(flags), "network", logger)
    parser = _made(trt.OnnxParser(network, logger), "parser", logger)
    if not parser.parse(onnx):
        errors = [str(parser.get_error(index)) for index in range(parser.num_errors)]
        raise PlanError("the parser refused it: " + "; ".join(errors or logger.lines))
    config = _made(builder.create_builder_config(), "configuration", logger)
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mb * MEBIBYTE)
    config.builder_optimization_level = settings.optimisation
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    monitor = _monitor(progress)
    config.progress_monitor = monitor
    cache = _timing_cache(config, old, logger)
    profile = _made(builder.create_optimization_profile(), "profile", logger)
    profile.set_shape(INPUT, *((1, 1, side, side) for side in settings.sides))
    if config.add_optimization_profile(profile) < 0:
        raise PlanError(f"sizes {settings.sides} make no profile")
    built = _made(builder.build_serialized_network(network, config), "plan", logger)
    data = bytes(built)
    layers = _inspect(data, logger)
    int8 = sum(bool(_INT8.search(layer)) for layer in layers)
    if int8 == 0:
        raise PlanError("the plan fell back to float: none of its layers works on INT8")
    return Plan(data, layers, int8, "", bytes(cache.serialize()), tuple(logger.lines))


def _timing_cache(config: trt.IBuilderConfig, old: bytes, logger: Any) -> trt.ITimingCache:
    """Measurements of earlier builds, which save most of the time; only the very same TensorRT on
    the same GPU takes them, and a build that starts without them is none the worse."""
    for content in (old, b"") if old else (b"",):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
        logger.lines.append("the timing cache was not taken")
    raise PlanError("TensorRT makes no timing cache: " + "; ".join(logger.lines))


def _inspect(data: bytes, logger: Any) -> tuple[str, ...]:
    """The layers of a plan as the inspector tells them, by loading the plan that will be served."""
    import tensorrt as trt

    runtime = _made(trt.Runtime(logger), "runtime", logger)
    engine = _made(runtime.deserialize_cuda_engine(data), "engine from the plan", logger)
    inspector = _made(engine.create_engine_inspector(), "inspector", logger)
    told = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    try:
        layers = json.loads(told)["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError("the engine inspector said nothing that can be read") from error
    return tuple(json.dumps(layer) for layer in layers)


def _made(thing: _Thing | None, what: str, logger: Any) -> _Thing:
    """TensorRT gives None where it fails, and says why to its logger."""
    if thing is None:
        raise PlanError(f"TensorRT made no {what}: " + "; ".join(logger.lines))
    return thing


def _logger() -> Any:
    """An ILogger that keeps warnings and errors: most of what TensorRT tells, it tells there."""
    import tensorrt as trt

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(trt.ILogger.Severity.WARNING):
                self.lines.append(message)

    return Logger()


def _monitor(progress: Progress) -> Any:
    import tensorrt as trt

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            progress(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress(phase_name, step + 1, self._steps.get(phase_name, 0))
            return True

        def phase_finish(self, phase_name: str) -> None:
            steps = self._steps.pop(phase_name, 0)
            progress(phase_name, steps, steps)

    return Monitor()


def main(arguments: Sequence[str]) -> int:
    """Builds and writes one plan, or with --probe only tells what this machine is.

    JSON lines on stdout (see scanside.runtime.plan_lines), the last of them {"plan": evidence},
    {"fingerprint": ...} or {"error": ...}. Ends with the error's exit code.
    """
    parser = argparse.ArgumentParser(prog="scanside.compile.plan", description=main.__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="the bundle")
    parser.add_argument("out", nargs="?", type=Path, help="the plan to write")
    parser.add_argument("--timing", type=Path, help="folder of timing caches")
    parser.add_argument("--probe", action="store_true", help="tell the fingerprint alone")
    parser.add_argument("--tied", action="store_true", help="end when stdin ends")
    given = parser.parse_args(arguments)
    if not (given.probe or given.out):
        parser.error("FILE and OUT are needed")
    if given.tied:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        # The driver is asked before TensorRT is: without one, its Runtime may crash.
        device = fingerprint(tensorrt_version())
        if given.probe:
            say(Line(fingerprint=device))
        else:
            say(Line(plan=build_file(device, given.file, given.out, given.timing)))
    except ScansideError as error:
        say_error(error)
        return error.exit_code
    return 0


def build_file(device: Fingerprint, file: Path, out: Path, timing: Path | None) -> Evidence:
    """Build the plan of a bundle's file and write it to `out`; errors as `build_plan`."""
    bundle = Bundle.open(file)
    settings = settings_of(bundle.manifest)
    timings = timing / f"{device.tensorrt}-{device.capability}.timing" if timing else None
    started = time.monotonic()
    plan = build_plan(bundle, settings, _tell, _read(timings))
    seconds = time.monotonic() - started
    try:
        with replace_file(out) as stream:
            stream.write(plan.data)
    except OSError as error:
        raise PlanError(f"the plan cannot be written: {error.strerror}") from error
    onnx = bundle.manifest.members[plan.source].sha256
    return Evidence(
        key=plan_key(onnx, device, settings),
        sha256=hashlib.sha256(plan.data).hexdigest(),
        size=len(plan.data),
        source=plan.source,
        onnx=onnx,
        fingerprint=device,
        settings=settings,
        label=label_of(device),
        layers=len(plan.layers),
        int8=plan.int8,
        seconds=round(seconds, 1),
        scanside=version("scanside"),
        log=(*(line[:LOG_LINE] for line in plan.log[:MOST_LOG_LINES]), *_keep(timings, plan.cache)),
    )


def _read(timings: Path | None) -> bytes:
    try:
        return timings.read_bytes() if timings else b""
    except OSError:
        return b""


def _keep(timings: Path | None, cache: bytes) -> tuple[str, ...]:
    """Keep the timing cache for the next build; what hinders it goes into the log."""
    if timings is None or not cache:
        return ()
    try:
        timings.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(timings) as stream:
            stream.write(cache)
    except OSError as error:
        return (f"the timing cache was not kept: {error.strerror}",)
    return ()


def _end_with_stdin() -> None:
    """Whoever started this may be killed: then nobody waits for the plan, and the GPU is freed."""
    while os.read(0, 1):
        pass
    os._exit(1)


def _tell(phase: str, done: int, steps: int) -> None:
    say(Line(phase=phase, done=done, steps=steps))


if __name__ == "__main__":
    # What TensorRT's libraries print must not come between the lines: it goes to stderr.
    sys.stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.exit(main(sys.argv[1:]))
