"""Memory for frames: page-locked and mapped, so that the GPU reads and writes what the CPU does.

A Jetson's CPU and GPU share their memory: a mapped page is not copied at all. Managed memory is no
alternative there (concurrentManagedAccess is 0). Everything is taken at start, for the largest
frame, because fragmentation of NvMap may fail any later allocation until the next reboot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scanside.runtime.errors import EngineUnavailableError
from scanside.runtime.manifest import MEBIBYTE

Bytes = npt.NDArray[np.uint8]


class Mapped:
    """`size` bytes that both sides see: `bytes` is the CPU's array, `pointer` the GPU's address.

    The array owns the memory: it lives as long as this does.
    """

    def __init__(self, cuda: Any, size: int) -> None:
        self.bytes: Bytes = _taken(
            lambda: cuda.pagelocked_empty(
                (size,), np.uint8, mem_flags=cuda.host_alloc_flags.DEVICEMAP
            ),
            size,
            "page-locked memory",
        )
        owner: Any = self.bytes.base
        self.pointer = int(owner.get_device_pointer())

    def view(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """The first bytes as (R, C) of `dtype`."""
        count = shape[0] * shape[1] * dtype.itemsize
        return self.bytes[:count].view(dtype).reshape(shape)


class OnDevice:
    """`size` bytes of the GPU's own, which it caches; `pointer` is their address."""

    def __init__(self, cuda: Any, size: int) -> None:
        self.memory = _taken(lambda: cuda.mem_alloc(size), size, "the GPU's memory")
        self.pointer = int(self.memory)


def _taken(take: Any, size: int, what: str) -> Any:
    try:
        return take()
    except Exception as error:  # pycuda's errors derive from Exception, its MemoryError too
        raise EngineUnavailableError(
            f"{max(1, size // MEBIBYTE)} MB of {what} cannot be had: {type(error).__name__}",
            next_step="stop other programs, or restart: a Jetson's memory becomes fragmented; "
            "a bundle with a smaller sizes.maximum needs less",
        ) from error
