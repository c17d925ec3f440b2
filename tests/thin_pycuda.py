"""Stands where pycuda.driver would: memory is the CPU's, kernels run as `cuda_on_cpu` built them.

That the engine calls what the genuine pycuda has is test_genuine_cuda.py's to prove. `calls`
records what was asked for; `fail` names a call that raises from now on.
"""

from __future__ import annotations

import ctypes
import re
import struct
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np


class Error(Exception):
    pass


class _Owner:
    """What a page-locked array has as its base."""

    def __init__(self, size: int) -> None:
        self._memory = np.full(size, 0xA5, np.uint8)
        self.__array_interface__ = self._memory.__array_interface__

    def get_device_pointer(self) -> int:
        return int(self._memory.ctypes.data)


class ThinCuda(ModuleType):
    """A module for sys.modules["pycuda.driver"]."""

    Error = Error
    host_alloc_flags = SimpleNamespace(DEVICEMAP=2)

    def __init__(self, kernels: ctypes.CDLL) -> None:
        super().__init__("pycuda.driver")
        self.kernels = kernels
        self.calls: list[str] = []
        self.fail = ""
        self.pushed = 0
        self.Context = SimpleNamespace(pop=self._pop)

    def told(self, call: str) -> None:
        self.calls.append(call)
        if self.fail and re.fullmatch(self.fail, call):
            raise Error(call)

    def _pop(self) -> None:
        assert self.pushed > 0
        self.pushed -= 1

    def _current(self) -> None:
        assert self.pushed > 0, "no context is current"

    def init(self) -> None:
        self.told("init")

    def Device(self, ordinal: int) -> Any:  # noqa: N802
        assert ordinal == 0
        return SimpleNamespace(retain_primary_context=self._retain)

    def _retain(self) -> Any:
        self.told("retain")

        def push() -> None:
            if self.fail == "push":
                raise Error("push")
            self.pushed += 1

        def detach() -> None:
            self._current()  # as pycuda, which would keep it otherwise
            self.pushed -= 1
            self.told("detach")

        return SimpleNamespace(push=push, detach=detach)

    def Stream(self, flags: int) -> Any:  # noqa: N802
        self._current()
        return SimpleNamespace(handle=0x51, synchronize=lambda: self.told("synchronize"))

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any, *, mem_flags: int) -> Any:
        self._current()
        self.told(f"pagelocked {shape[0]}")
        assert mem_flags == self.host_alloc_flags.DEVICEMAP
        assert dtype is np.uint8
        return np.asarray(_Owner(shape[0]))

    def mem_alloc(self, size: int) -> Any:
        self._current()
        self.told(f"mem_alloc {size}")
        memory = np.full(size, 0xA5, np.uint8)

        class Allocation:
            kept = memory

            def __int__(self) -> int:
                return int(memory.ctypes.data)

        return Allocation()

    def memcpy_htod_async(self, target: int, source: Any, stream: Any) -> None:
        self.told("copy")
        ctypes.memmove(target, source.ctypes.data, source.nbytes)

    def module_from_buffer(self, code: bytes) -> Any:
        self._current()
        assert code.endswith(b"}\n\n\0")
        return SimpleNamespace(get_function=lambda name: _Function(self, name))


class _Function:
    def __init__(self, cuda: ThinCuda, name: str) -> None:
        self._cuda, self._name = cuda, name

    def prepare(self, arguments: list[str]) -> _Function:
        self._format = "".join(arguments)
        return self

    def prepared_async_call(
        self, grid: tuple[int, int], block: tuple[int, int, int], stream: Any, *arguments: Any
    ) -> None:
        self._cuda.told(self._name)
        raw = struct.pack(self._format, *arguments)
        three = ctypes.c_uint * 3
        code = self._cuda.kernels.launch(
            self._name.encode(), three(*grid, 1), three(*block), raw, ctypes.c_size_t(len(raw))
        )
        assert code == 0, code
