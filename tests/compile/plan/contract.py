"""Run in a process of its own, for one version of the genuine bindings: builds a plan with them.

No GPU and no libnvinfer: three stub libraries give the bindings the symbols that they link to. Our
code gets stand-ins whose every call is first made on an uninitialised instance of the genuine
class, in a forked child: TypeError or AttributeError means that the binding rejects the call; a
crash, that it took the arguments and went on into the library that is not there. It proves names,
arity and types, and nothing about parsing, building or speed.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

STUBS = {
    "nvinfer": ("createInferBuilder_INTERNAL", "createInferRuntime_INTERNAL",
                "createInferRefitter_INTERNAL", "getBuilderPluginRegistry", "getPluginRegistry"),
    "nvonnxparser": ("createNvOnnxParser_INTERNAL", "createNvOnnxParserRefitter_INTERNAL",
                     "getNvOnnxParserVersion"),
    "nvinfer_plugin": ("initLibNvInferPlugins",),
}  # fmt: skip
RESULTS: dict[tuple[str, str], Any] = {
    ("Builder", "create_network"): "INetworkDefinition",
    ("Builder", "create_builder_config"): "IBuilderConfig",
    ("Builder", "create_optimization_profile"): "IOptimizationProfile",
    ("Builder", "build_serialized_network"): b"a plan",
    ("OnnxParser", "parse"): True,
    ("IBuilderConfig", "create_timing_cache"): "ITimingCache",
    ("IBuilderConfig", "set_timing_cache"): True,
    ("IBuilderConfig", "add_optimization_profile"): 0,
    ("ITimingCache", "serialize"): b"a cache",
    ("Runtime", "deserialize_cuda_engine"): "ICudaEngine",
    ("ICudaEngine", "create_engine_inspector"): "EngineInspector",
    (
        "EngineInspector",
        "get_engine_information",
    ): '{"Layers": [{"Name": "conv", "Format": "Int8"}]}',
}
"""What a call would give where TensorRT is there: a class's name, or a value."""
REJECTED = (TypeError, AttributeError)
NOT_THERE = "factory function returned nullptr"  # the arguments were taken


def make_libraries(folder: Path, major: str) -> list[Path]:
    """Stubs of the libraries that the bindings link to."""
    made = []
    for library, symbols in STUBS.items():
        source = folder / f"{library}.c"
        returned = "1" if library == "nvinfer_plugin" else "0"
        source.write_text(
            "".join(f"void *{s}() {{ return (void *){returned}; }}\n" for s in symbols)
        )
        name = f"lib{library}.so.{major}"
        command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name, source]
        subprocess.run(command, check=True)
        made.append(folder / name)
    return made


def load_bindings(wheel: Path, folder: Path, major: str) -> ModuleType:
    """The genuine bindings from an unzipped wheel, over stub libraries made in `folder`."""
    for library in make_libraries(folder, major):
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    sys.path.insert(0, str(wheel))
    import tensorrt_bindings  # type: ignore[import-not-found]

    module: ModuleType = tensorrt_bindings
    return module


def probe(call: Any) -> str:
    """What the binding rejects about a call, or empty."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(2)
        try:
            call()
        except REJECTED as error:
            if NOT_THERE not in str(error):
                os.write(writer, f"{type(error).__name__}: {error}".encode()[:2000])
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as stream:
        return stream.read()


class StandIn:
    """Of an instance of a genuine class."""

    def __init__(self, trt: ModuleType, kind: str) -> None:
        object.__setattr__(self, "_trt", trt)
        object.__setattr__(self, "_kind", kind)

    def genuine(self) -> Any:
        kind = getattr(self._trt, self._kind)
        return kind.__new__(kind)

    def __getattr__(self, name: str) -> Any:
        if not hasattr(getattr(self._trt, self._kind), name):
            raise AssertionError(f"{self._kind} has no {name}")

        def call(*arguments: Any, **named: Any) -> Any:
            given = [_genuine(one) for one in arguments]
            objection = probe(lambda: getattr(self.genuine(), name)(*given, **named))
            assert not objection, f"{self._kind}.{name}: {objection}"
            return _result(self._trt, self._kind, name)

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        objection = probe(lambda: setattr(self.genuine(), name, value))
        assert not objection, f"{self._kind}.{name} = : {objection}"


def _genuine(value: Any) -> Any:
    return value.genuine() if isinstance(value, StandIn) else value


def _result(trt: ModuleType, kind: str, name: str) -> Any:
    found = RESULTS.get((kind, name))
    return StandIn(trt, found) if isinstance(found, str) and hasattr(trt, found) else found


class Bindings:
    """The genuine module, with stand-ins for what it would make."""

    def __init__(self, trt: ModuleType) -> None:
        self._trt = trt

    def __getattr__(self, name: str) -> Any:
        genuine = getattr(self._trt, name)
        if name not in ("Builder", "OnnxParser", "Runtime"):
            return genuine

        def make(*arguments: Any) -> StandIn:
            given = [_genuine(one) for one in arguments]
            objection = probe(lambda: genuine(*given))
            assert not objection, f"{name}(): {objection}"
            return StandIn(self._trt, name)

        return make


def main() -> None:
    wheel, folder, bundle_path = map(Path, sys.argv[1:4])
    trt = load_bindings(wheel, folder, sys.argv[4])
    from scanside.compile import plan
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.plans import settings_of

    sys.modules["tensorrt"] = Bindings(trt)  # type: ignore[assignment]
    assert plan.tensorrt_version() == trt.__version__
    phases: list[tuple[str, int, int]] = []
    bundle = Bundle.open(bundle_path)
    settings = settings_of(bundle.manifest)
    for cache in (b"", b"an old cache"):
        built = plan.build_plan(bundle, settings, lambda *one: phases.append(one), cache)
        assert built.data == b"a plan"
        assert built.int8 == 1
        assert built.cache == b"a cache"
    monitor = plan._monitor(lambda *one: phases.append(one))
    monitor.phase_start("Building", None, 3)
    assert monitor.step_complete("Building", 0) is True
    monitor.phase_finish("Building")
    assert phases == [("Building", 0, 3), ("Building", 1, 3), ("Building", 3, 3)]
    logger = plan._logger()
    for severity in (trt.ILogger.Severity.INFO, trt.ILogger.Severity.ERROR):
        logger.log(severity, f"{severity}")
    assert len(logger.lines) == 1
    assert "ERROR" in logger.lines[0]
    sys.stdout.write(trt.__version__)


if __name__ == "__main__":
    main()
