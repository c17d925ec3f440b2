"""Run in a process of its own, for one version of the genuine bindings: runs the engine on them.

As tests/compile/plan/contract.py, whose stand-ins these are: every call of the engine is first made
on an uninitialised instance of the genuine class, in a forked child. Properties are read there too.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from contract import Bindings, StandIn, load_bindings, probe

from bundles import make_manifest
from cuda_on_cpu import load
from scanside.runtime.frame import FrameFacts
from scanside.runtime.manifest import Sizes
from thin_device import ORIN
from thin_pycuda import ThinCuda


class Genuine(StandIn):
    """Answers as a device would, as far as the engine asks."""

    shape: tuple[int, ...] = ()
    asked: set[str] = set()  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        kind = getattr(self._trt, self._kind)
        Genuine.asked.add(f"{self._kind}.{name}")
        if isinstance(getattr(kind, name, None), property):
            objection = probe(lambda: getattr(self.genuine(), name))
            assert not objection, f"{self._kind}.{name}: {objection}"
            return {"num_io_tensors": 2, "device_memory_size_v2": 1 << 20}[name]
        call = super().__getattr__(name)

        def answered(*arguments: Any, **named: Any) -> Any:
            call(*arguments, **named)
            if name == "set_input_shape":
                Genuine.shape = arguments[1]
            return self._answer(name, arguments)

        return answered

    def __setattr__(self, name: str, value: Any) -> None:
        Genuine.asked.add(f"{self._kind}.{name} =")
        assert isinstance(getattr(getattr(self._trt, self._kind), name, None), property), name
        super().__setattr__(name, value)

    def _answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
        trt = self._trt
        modes = {"image": trt.TensorIOMode.INPUT, "residual": trt.TensorIOMode.OUTPUT}
        answers = {
            "deserialize_cuda_engine": lambda plan: Genuine(trt, "ICudaEngine"),
            "create_execution_context": lambda how: Genuine(trt, "IExecutionContext"),
            "get_tensor_name": lambda index: list(modes)[index],
            "get_tensor_mode": lambda tensor: modes[tensor],
            "get_tensor_dtype": lambda tensor: trt.DataType.FLOAT,
            "get_tensor_profile_shape": lambda tensor, profile: [trt.Dims((1, 1, 64, 64))] * 3,
            "get_tensor_shape": lambda tensor: trt.Dims(Genuine.shape),
            "set_device_memory": lambda memory, size: None,
            "set_input_shape": lambda tensor, shape: True,
            "set_tensor_address": lambda tensor, memory: True,
            "execute_async_v3": lambda handle: True,
        }
        return answers[name](*arguments)


class Module(Bindings):
    def __getattr__(self, name: str) -> Any:
        made = super().__getattr__(name)
        if name != "Runtime":
            return made
        return lambda logger: (made(logger), Genuine(self._trt, name))[1]


def main() -> None:
    wheel, folder, kernels, major = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5]
    trt = load_bindings(wheel, folder, major)
    from scanside.runtime.engines.tensorrt import libraries
    from scanside.runtime.engines.tensorrt.engine import TensorRtEngine

    sys.modules["tensorrt"] = Module(trt)  # type: ignore[assignment]
    cuda = ThinCuda(load(Path(kernels)))
    sys.modules["pycuda"] = ModuleType("pycuda")
    sys.modules["pycuda"].driver = cuda  # type: ignore[attr-defined]
    sys.modules["pycuda.driver"] = cuda
    sys.modules["cuda.bindings.driver"] = None  # type: ignore[assignment]
    assert libraries.version() == trt.__version__
    manifest = make_manifest(sizes=Sizes(maximum=128, tile=64), multiple_of=8)
    engine = TensorRtEngine(manifest, b"a plan", ORIN)
    words = np.arange(100 * 90, dtype=np.uint16).reshape(1, 100, 90) % 4096
    facts = FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0)
    gpu: Any = engine._gpu
    for memory in (gpu.network.image.memory, gpu.network.residual.memory):
        ctypes.memset(int(memory), 0, 64 * 64 * 4)
    np.testing.assert_array_equal(engine.run(words, [facts]), words)
    engine.close()
    said = libraries.Said()
    logger = libraries.make_logger(trt, said)
    for severity in (trt.ILogger.Severity.INFO, trt.ILogger.Severity.ERROR):
        logger.log(severity, f"{severity}")
    told = said.take()
    assert "ERROR" in told
    assert "INFO" not in told
    sys.stdout.write(f"{trt.__version__}\n" + "\n".join(sorted(Genuine.asked)))


if __name__ == "__main__":
    main()
