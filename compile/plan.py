"""ONNX -> a TensorRT plan, on the machine whose GPU will run it. Not verified on hardware.

Imports nothing of the workstation's: tensorrt, numpy and scanside.runtime alone, so that a device
can start it as a child process (`python -m scanside.compile.plan`), which may crash or hang without
taking the daemon with it. Progress comes as JSON lines on stdout. One code path for TensorRT 10.3,
10.13, 10.16 and 11.4; what each of them offers is pinned by tests against the genuine bindings.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from scanside.runtime.bundle import MODEL, TRT_MODEL, Bundle
from scanside.runtime.errors import EngineUnavailableError, PlanError, ScansideError
from scanside.runtime.files import replace_file
from scanside.runtime.manifest import MEBIBYTE, Manifest
from scanside.runtime.tiling import MINIMUM_SIDE

INPUT = "image"
OPTIMISATION_LEVEL = 3  # TensorRT's default: more takes hours on a Jetson for a percent
DEFAULT_WORKSPACE_MB = 1024
_INT8 = re.compile(r"int8", re.IGNORECASE)
Progress = Callable[[str, int, int], None]
"""Told the phase, the steps done and the steps in all."""


class Settings(NamedTuple):
    """sides: smallest, usual and largest of a frame or tile, in pixels. workspace_mb: what the
    builder may take for a layer. cache: a timing cache of the same TensorRT, or empty."""

    sides: tuple[int, int, int]
    workspace_mb: int
    cache: bytes = b""


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


def load_tensorrt() -> ModuleType:
    """Raises EngineUnavailableError where the bindings are not installed or cannot load."""
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise EngineUnavailableError(
            "TensorRT's Python bindings cannot be loaded here",
            next_step="on a Jetson: apt install python3-libnvinfer, and a venv with "
            "--system-site-packages",
        ) from error
    module: ModuleType = tensorrt
    return module


def settings_of(manifest: Manifest, cache: bytes = b"") -> Settings:
    """Sides that the runtime will send, tiles at most, each a multiple of what networks need."""
    step = manifest.multiple_of

    def up(side: int) -> int:
        return -(-side // step) * step

    smallest = up(max(MINIMUM_SIDE, min(manifest.sizes.minimum, manifest.sizes.tile)))
    largest = max(smallest, up(min(manifest.sizes.maximum, manifest.sizes.tile)))
    usual = min(max(smallest, up(512)), largest)
    workspace = manifest.memory_budget_mb // 2 or DEFAULT_WORKSPACE_MB
    return Settings((smallest, usual, largest), workspace, cache)


def build_plan(trt: ModuleType, bundle: Bundle, settings: Settings, progress: Progress) -> Plan:
    """Build from model.trt.onnx; where that fails on this device, from model.onnx, and say so.

    Raises PlanError with everything that TensorRT had to say, and for a plan without INT8.
    """
    names = [name for name in (TRT_MODEL, MODEL) if name in bundle.names]
    failed: list[str] = []
    for name in names:
        try:
            plan = _build(trt, bundle.member(name), settings, progress)
        except PlanError as error:
            failed.append(f"{name}: {error.message}")
            continue
        return plan._replace(source=name, log=(*failed, *plan.log))
    raise PlanError(
        "no plan could be built: " + "; ".join(failed),
        next_step="keep this message: it is what NVIDIA's forum asks for",
    )


def _build(trt: ModuleType, onnx: bytes, settings: Settings, progress: Progress) -> Plan:
    logger = _logger(trt)
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
    config.builder_optimization_level = OPTIMISATION_LEVEL
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    monitor = _monitor(trt, progress)
    config.progress_monitor = monitor
    cache = _made(config.create_timing_cache(settings.cache), "timing cache", logger)
    if not config.set_timing_cache(cache, False):
        raise PlanError("the timing cache is of another TensorRT")
    profile = _made(builder.create_optimization_profile(), "profile", logger)
    profile.set_shape(INPUT, *((1, 1, side, side) for side in settings.sides))
    if config.add_optimization_profile(profile) < 0:
        raise PlanError(f"sizes {settings.sides} make no profile")
    built = _made(builder.build_serialized_network(network, config), "plan", logger)
    data = bytes(built)
    layers = _inspect(trt, data, logger)
    int8 = sum(bool(_INT8.search(layer)) for layer in layers)
    if int8 == 0:
        raise PlanError("the plan fell back to float: none of its layers works on INT8")
    return Plan(data, layers, int8, "", bytes(cache.serialize()), tuple(logger.lines))


def _inspect(trt: ModuleType, data: bytes, logger: Any) -> tuple[str, ...]:
    """The layers of a plan as the inspector tells them, by loading the plan that will be served."""
    runtime = _made(trt.Runtime(logger), "runtime", logger)
    engine = _made(runtime.deserialize_cuda_engine(data), "engine from the plan", logger)
    inspector = _made(engine.create_engine_inspector(), "inspector", logger)
    told = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    try:
        layers = json.loads(told)["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError("the engine inspector said nothing that can be read") from error
    return tuple(json.dumps(layer) for layer in layers)


def _made(thing: Any, what: str, logger: Any) -> Any:
    """TensorRT gives None where it fails, and says why to its logger."""
    if thing is None:
        raise PlanError(f"TensorRT made no {what}: " + "; ".join(logger.lines))
    return thing


def _logger(trt: ModuleType) -> Any:
    """An ILogger that keeps warnings and errors: most of what TensorRT tells, it tells there."""

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(trt.ILogger.Severity.WARNING):
                self.lines.append(message)

    return Logger()


def _monitor(trt: ModuleType, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
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
    """`FILE.scanside OUT.plan`: builds and writes the plan; JSON lines on stdout, the last of them
    {"plan": ...} or {"error": ...}. Ends with the error's exit code."""
    bundle_path, out = map(Path, arguments)
    try:
        trt = load_tensorrt()
        bundle = Bundle.open(bundle_path)
        plan = build_plan(trt, bundle, settings_of(bundle.manifest), _tell)
        with replace_file(out) as stream:
            stream.write(plan.data)
    except ScansideError as error:
        _say({"error": error.message, "next_step": error.next_step})
        return error.exit_code
    evidence = {
        "source": plan.source,
        "bytes": len(plan.data),
        "layers": len(plan.layers),
        "int8": plan.int8,
        "tensorrt": str(trt.__version__),
        "log": plan.log,
    }
    _say({"plan": evidence})
    return 0


def _tell(phase: str, done: int, steps: int) -> None:
    _say({"phase": phase, "done": done, "steps": steps})


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
