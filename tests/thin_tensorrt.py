"""Stands where tensorrt would when a plan is run: the plan is JSON that says what to compute.

That the engine calls what the genuine bindings have is test_contract.py's to prove. `told` says how
to misbehave: refuse (the name of a call, which then gives None or False), crash (a signal), hang
(seconds), print (to stdout), half (tensors that are no float32); it comes from THIN_TENSORRT in a
child process.
"""

from __future__ import annotations

import ctypes
import enum
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

VERSION = "10.3.0"
told: dict[str, Any] = json.loads(os.environ.get("THIN_TENSORRT", "{}"))
runs: list[tuple[int, int]] = []
"""Shapes in the order in which they were run."""


def queue(work: Callable[[], None]) -> None:
    """Where a GPU would do it later; replaced where a driver is emulated."""
    work()


def make_plan(residual: float | str = 0.0, scale: int = 1, side: int = 1024) -> bytes:
    """residual: a constant, "blur" as in `bundles`, or "nan"."""
    return json.dumps({"residual": residual, "scale": scale, "side": side}).encode()


class ILogger:
    class Severity(enum.IntEnum):
        ERROR = 1
        WARNING = 2
        INFO = 3

    def __init__(self) -> None:
        pass


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class ExecutionContextAllocationStrategy(enum.Enum):
    USER_MANAGED = 2


class Runtime:
    engine_host_code_allowed = False

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        if "crash" in told:
            os.kill(os.getpid(), getattr(signal, told["crash"]))
        time.sleep(told.get("hang", 0))
        if "print" in told:
            os.write(1, told["print"].encode())
        self.logger.log(ILogger.Severity.INFO, "chatter")
        if told.get("refuse") == "deserialize_cuda_engine":
            self.logger.log(ILogger.Severity.ERROR, "the magic\x1b[31m tag does not match")
            return None
        assert self.engine_host_code_allowed is False
        return Engine(json.loads(plan))


class Engine:
    num_io_tensors = 2
    device_memory_size_v2 = 4096

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan

    def get_tensor_name(self, index: int) -> str:
        return ("image", "residual")[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name == "image" else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType.HALF if told.get("half") else DataType.FLOAT

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        side = self.plan["side"]
        return [(1, 1, 32, 32), (1, 1, side, side), (1, 1, side, side)]

    def create_execution_context(self, strategy: Any) -> Any:
        assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        return None if told.get("refuse") == "create_execution_context" else Context(self.plan)


class Context:
    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.addresses: dict[str, int] = {}
        self.memory = 0

    def set_device_memory(self, memory: int, size: int) -> None:
        assert size == Engine.device_memory_size_v2
        self.memory = memory

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape[2:]
        return told.get("refuse") != "set_input_shape"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        scale = self.plan["scale"]
        return 1, 1, *(side * scale for side in self.shape)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return told.get("refuse") != "set_tensor_address"

    def execute_async_v3(self, stream_handle: int) -> bool:
        if told.get("refuse") == "execute_async_v3":
            return False
        assert self.memory
        assert stream_handle
        queue(self._compute)
        return True

    def _compute(self) -> None:
        runs.append(self.shape)
        scale, residual = self.plan["scale"], self.plan["residual"]
        image = _floats(self.addresses["image"], self.shape)
        out = _floats(self.addresses["residual"], self.get_tensor_shape("")[2:])
        if residual == "blur":
            from bundles import _residual

            out[:] = _residual(image, "blur").repeat(scale, 0).repeat(scale, 1)
        else:
            out[:] = np.float32(residual)


def _floats(address: int, shape: tuple[int, ...]) -> Any:
    count = shape[0] * shape[1]
    return np.frombuffer((ctypes.c_float * count).from_address(address), np.float32).reshape(shape)


def as_module() -> ModuleType:
    """For sys.modules["tensorrt"]."""
    module = ModuleType("tensorrt")
    module.__dict__.update(vars(sys.modules[__name__]), __version__=VERSION, __name__="tensorrt")
    return module
