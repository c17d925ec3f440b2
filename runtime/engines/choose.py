"""Which engine runs a bundle on this machine.

A named engine is honoured or refused. `auto` opens what is installed, leaves out what fails the
bundle's golden frames, and takes the first in a fixed order unless another is clearly faster. The
choice is kept in the user's cache, so that a second process chooses alike.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from scanside.runtime.bundle import CPU_MODEL, GOLDEN, Bundle
from scanside.runtime.cache import cache_folder
from scanside.runtime.engines import Engine, EngineSpec, onnxruntime, openvino
from scanside.runtime.engines.cpu import CpuEngine, device_name, usable_threads
from scanside.runtime.engines.tensorrt.libraries import version as tensorrt_version
from scanside.runtime.engines.tensorrt.lookup import plan_names
from scanside.runtime.engines.tensorrt.opening import open_planned
from scanside.runtime.errors import EngineError, EngineUnavailableError
from scanside.runtime.golden import check_engine, decode_golden
from scanside.runtime.manifest import Manifest
from scanside.runtime.planner import plans_folder
from scanside.runtime.tiling import Network

AUTO = "auto"
TENSORRT = "tensorrt"
FASTER = 1.15
_ROUNDS = 5
_TIMED_SIDE = 512

_log = logging.getLogger(__name__)


class _Library(NamedTuple):
    version: Callable[[], str]
    load_network: Callable[[bytes, int], Network]


_LIBRARIES: Mapping[str, _Library] = {
    "openvino": _Library(openvino.version, openvino.load_network),
    "onnxruntime": _Library(onnxruntime.version, onnxruntime.load_network),
}
"""On the CPU, in the order in which `auto` prefers them; TensorRT comes before them."""

ENGINE_NAMES = (AUTO, TENSORRT, *_LIBRARIES)


def available_engines() -> dict[str, str]:
    """Name -> version of the engines that run an ONNX file here, in the order of preference."""
    found = {}
    for name, library in _LIBRARIES.items():
        with contextlib.suppress(EngineUnavailableError):
            found[name] = library.version()
    return found


def open_engine(
    bundle: Bundle,
    name: str = AUTO,
    threads: int | None = None,
    plans: Sequence[Path] | None = None,
) -> Engine:
    """Open an engine for a bundle.

    name: one of `ENGINE_NAMES`. threads: by default as many as this process has cores. plans: the
    folders that TensorRT's plans are looked for in, beside the bundle [the user's cache].
    Raises EngineUnavailableError when the named engine is unknown, not installed or cannot load
    the model, or for `auto` when none can; for `auto` GoldenMismatchError when all that load fail
    the golden frames. A named engine is not tested here: `scanside.runtime.golden.check_engine`.
    """
    threads = threads or usable_threads()
    folders = (plans_folder(),) if plans is None else tuple(plans)
    if name != AUTO:
        return _open(bundle, name, threads, folders)
    versions = _versions()
    if not versions:
        raise EngineUnavailableError(
            "no engine is installed", next_step="pip install 'scanside[cpu]'"
        )
    # With another plan, TensorRT may win where it could not be opened before.
    there = plan_names(bundle, folders) if TENSORRT in versions else []
    record = _record(bundle, threads, versions, there)
    kept = _recall(record)
    if kept in versions:
        with contextlib.suppress(EngineError):
            return _open_tested(bundle, kept, threads, folders)
    engine = _choose(bundle, threads, list(versions), folders)
    settled = _keep(record, engine.spec.name)
    if settled == engine.spec.name or settled not in versions:
        return engine
    # Another process measured at the same time and was first: agree with it.
    with contextlib.suppress(EngineError):
        agreed = _open_tested(bundle, settled, threads, folders)
        engine.close()
        return agreed
    return engine


def _versions() -> dict[str, str]:
    """Name -> version of what is installed. Whether TensorRT has plan and GPU, opening tells."""
    found = {}
    with contextlib.suppress(EngineUnavailableError):
        found[TENSORRT] = tensorrt_version()
    return {**found, **available_engines()}


def _open(bundle: Bundle, name: str, threads: int, plans: Sequence[Path]) -> Engine:
    if name == TENSORRT:
        return open_planned(bundle, plans)
    return cpu_engine(bundle.manifest, bundle.member(CPU_MODEL), name, threads)


def cpu_engine(manifest: Manifest, model: bytes, name: str, threads: int) -> CpuEngine:
    """An ONNX file's bytes on the library `name`, behind the manifest's map and tiles.

    For `compile` and the benchmarks, which try files that are in no bundle yet; errors as
    `open_engine`'s for a named engine.
    """
    network = load_network(model, name, threads)
    spec = EngineSpec(
        name=name,
        version=_LIBRARIES[name].version(),
        device=device_name(),
        threads=threads,
        scale=manifest.scale,
    )
    return CpuEngine(manifest, network, spec)


def load_network(model: bytes, name: str, threads: int) -> Network:
    """An ONNX file's bytes on the library `name`, bare; errors as `cpu_engine`."""
    library = _LIBRARIES.get(name)
    if library is None:
        raise EngineUnavailableError(
            f"{name} runs plans, not ONNX files"
            if name == TENSORRT
            else f"there is no engine {name}",
            next_step=f"choose one of {', '.join(ENGINE_NAMES)}",
        )
    return library.load_network(model, threads)


def _open_tested(bundle: Bundle, name: str, threads: int, plans: Sequence[Path]) -> Engine:
    engine: Engine | None = None
    try:
        engine = _open(bundle, name, threads, plans)
        check_engine(engine, bundle)
    except EngineError as error:
        if engine is not None:
            engine.close()
        _log.warning("engine %s is out: %s", name, error.message)
        raise
    return engine


def _choose(bundle: Bundle, threads: int, names: list[str], plans: Sequence[Path]) -> Engine:
    passed: list[Engine] = []
    failure: EngineError | None = None
    for name in names:
        try:
            passed.append(_open_tested(bundle, name, threads, plans))
        except EngineError as error:
            failure = failure or error
    if not passed:
        assert failure is not None
        raise failure
    chosen = fastest([engine.spec.name for engine in passed], _time(bundle, passed))
    for engine in passed:
        if engine.spec.name != chosen:
            engine.close()
    return next(engine for engine in passed if engine.spec.name == chosen)


def fastest(names: list[str], seconds: Mapping[str, float]) -> str:
    """The first of `names` (in order of preference), unless others are more than 15% faster."""
    quickest = min(names, key=lambda name: seconds[name])
    return quickest if seconds[quickest] * FASTER < seconds[names[0]] else names[0]


def _time(bundle: Bundle, engines: list[Engine]) -> dict[str, float]:
    """Median seconds per frame, measured in turn so that all feel the same machine."""
    if len(engines) == 1:
        return {engines[0].spec.name: 0.0}
    golden = decode_golden(bundle.member(GOLDEN), bundle.manifest)[0]
    side = min(_TIMED_SIDE, bundle.manifest.sizes.tile)
    frame = np.resize(golden.words, (1, side, side))
    seconds: dict[str, list[float]] = {engine.spec.name: [] for engine in engines}
    for engine in engines:
        engine.warm_up(side, side)
    for _ in range(_ROUNDS):
        for engine in engines:
            start = time.perf_counter()
            engine.run(frame, [golden.facts])
            seconds[engine.spec.name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


class _Choice(msgspec.Struct):
    engine: str


def _record(
    bundle: Bundle, threads: int, versions: Mapping[str, str], plans: Sequence[str]
) -> Path:
    """The file that keeps the choice for this model, device, threads, engine versions and plans."""
    facts = [bundle.identity, device_name(), threads, list(versions.items()), list(plans)]
    key = msgspec.json.encode(facts)
    return cache_folder() / "engines" / f"{hashlib.sha256(key).hexdigest()}.json"


def _recall(record: Path) -> str | None:
    try:
        return msgspec.json.decode(record.read_bytes(), type=_Choice).engine
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _keep(record: Path, engine: str) -> str:
    """Keep a choice, whole or not at all; returns the one that is kept from now on.

    A readable choice that another process has put there meanwhile stays. Where nothing can be
    written the choice is measured again next time.
    """
    temporary = ""
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=record.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(msgspec.json.encode(_Choice(engine)))
        try:
            os.link(temporary, record)
        except FileExistsError:
            there = _recall(record)
            if there is not None:
                return there
            os.replace(temporary, record)
    except OSError:
        _log.warning("the choice of engine cannot be kept in the cache")
    finally:
        if temporary:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    return engine
