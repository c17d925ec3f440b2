"""The kernels that ship, on a real GPU, against NumPy, bit by bit. Skipped where there is none."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, example, given, settings

from one_frame import Case, Memory, cases, compare, halves, ring
from scanside.runtime.engines.tensorrt.buffers import Mapped
from scanside.runtime.engines.tensorrt.kernels import Kernels

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cuda() -> Iterator[Any]:
    try:
        driver = importlib.import_module("pycuda.driver")
        driver.init()
        if driver.Device.count() == 0:
            pytest.skip("there is no CUDA device here")
    except Exception as error:  # noqa: BLE001 - pycuda's own, ImportError, OSError: none is ours
        pytest.skip(f"there is no CUDA device here, or no pycuda: {type(error).__name__}")
    context = driver.Device(0).retain_primary_context()
    context.push()
    with contextlib.ExitStack() as stack:
        stack.callback(context.detach)
        yield driver


@pytest.fixture(scope="module")
def started(cuda: Any) -> Iterator[tuple[Kernels, Memory]]:
    stream = cuda.Stream(1)
    kept: list[Mapped] = []

    def there(array: npt.NDArray[Any]) -> tuple[int, Any]:
        mapped = Mapped(cuda, max(1, array.nbytes))
        mapped.bytes[: array.nbytes] = array.reshape(-1).view(np.uint8)
        kept.append(mapped)

        def read() -> npt.NDArray[Any]:
            stream.synchronize()
            return mapped.bytes[: array.nbytes].view(array.dtype).reshape(array.shape).copy()

        return mapped.pointer, read

    yield Kernels(cuda, stream), Memory(there)
    stream.synchronize()
    kept.clear()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=cases())
@example(case=ring(1))
@example(case=ring(2))
@example(case=halves())
def test_every_frame_comes_out_as_numpy_makes_it(
    started: tuple[Kernels, Memory], case: Case
) -> None:
    compare(case, *started)
