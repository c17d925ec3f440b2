"""What the CUDA driver says about its first GPU, asked through ctypes: no package, no TensorRT.

Asked before TensorRT's Runtime is touched: without a driver some versions of it hand out an object
that crashes at its first use. Asked in the child process that builds, never in the daemon itself:
cuInit opens the device for the life of the process.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from scanside.runtime.errors import EngineUnavailableError

DRIVER = "libcuda.so.1"
_NAME_BYTES = 256
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute in cuda.h
_ADVICE = {
    34: "this is the stub of the CUDA toolkit: take its folder off LD_LIBRARY_PATH",
    100: "plug in the GPU, or run this on the device",
    801: "add the user to the groups video and render, and give the service /dev/dri/renderD*",
    803: "the driver is older than its libraries: restart, or install them from one JetPack",
    999: "restart the machine, then look into `dmesg` for nvgpu or NVRM",
}


class Gpu(NamedTuple):
    """driver: the newest CUDA that the driver serves, as 12.6. capability: compute capability, as
    8.7. memory_bytes: in all; on a Jetson shared with the CPU, less what the firmware keeps."""

    name: str
    capability: str
    memory_bytes: int
    driver: str


def first_gpu(driver: str = DRIVER) -> Gpu:
    """The first GPU here.

    Raises EngineUnavailableError, saying what to do, without a driver, without a device, and where
    the driver answers with an error.
    """
    try:
        cuda = ctypes.CDLL(driver)
    except OSError as error:
        raise EngineUnavailableError(
            "there is no CUDA driver here",
            next_step="run this where the GPU is; on a Jetson, install JetPack's nvidia-l4t-cuda",
        ) from error
    _ask(cuda, "cuInit", ctypes.c_uint(0))
    count, major, minor, version = (ctypes.c_int() for _ in range(4))
    _ask(cuda, "cuDeviceGetCount", ctypes.byref(count))
    if count.value < 1:
        raise EngineUnavailableError("the CUDA driver sees no GPU", next_step=_ADVICE[100])
    device = ctypes.c_int()
    _ask(cuda, "cuDeviceGet", ctypes.byref(device), 0)
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _ask(cuda, "cuDeviceGetName", name, _NAME_BYTES, device)
    _ask(cuda, "cuDeviceGetAttribute", ctypes.byref(major), _CAPABILITY_MAJOR, device)
    _ask(cuda, "cuDeviceGetAttribute", ctypes.byref(minor), _CAPABILITY_MINOR, device)
    memory = ctypes.c_size_t()
    _ask(cuda, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)  # _v2: 64 bits
    _ask(cuda, "cuDriverGetVersion", ctypes.byref(version))
    return Gpu(
        name=name.value.decode("ascii", "replace"),
        capability=f"{major.value}.{minor.value}",
        memory_bytes=memory.value,
        driver=f"{version.value // 1000}.{version.value % 1000 // 10}",
    )


def _ask(cuda: ctypes.CDLL, name: str, *arguments: object) -> None:
    try:
        function = getattr(cuda, name)
    except AttributeError as error:
        raise EngineUnavailableError(
            f"the CUDA driver has no {name}", next_step="install the driver of this JetPack anew"
        ) from error
    code = int(function(*arguments))
    if code != 0:
        raise EngineUnavailableError(
            f"the CUDA driver answers {name} with error {code}",
            next_step=_ADVICE.get(code, "restart the machine, then look into `dmesg`"),
        )
