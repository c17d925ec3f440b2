"""CUDA graphs through cuda-bindings: what one shape's run queues, recorded and started as one.

pycuda has no calls for graphs; cuda-bindings speaks to the same driver and takes the bare handle of
pycuda's stream. Without it, or where TensorRT's run cannot be recorded, every run is queued anew:
slower, never different. Not verified on hardware.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any

from scanside.runtime.errors import EngineError

_log = logging.getLogger(__name__)


class Graph:
    """What was recorded. Whatever its addresses lead to must outlive it."""

    def __init__(self, driver: Any, stream: Any, graph: Any, runnable: Any) -> None:
        self._driver = driver
        self._stream = stream
        self._graph = graph
        self._runnable = runnable

    def launch(self) -> None:
        """Queue it on its stream. Raises EngineError when the driver refuses."""
        _ask(self._driver, "cuGraphLaunch", self._runnable, self._stream)

    def close(self) -> None:
        """Not before the stream has finished with it."""
        _ask(self._driver, "cuGraphExecDestroy", self._runnable)
        _ask(self._driver, "cuGraphDestroy", self._graph)


def import_driver() -> Any | None:
    """The module `cuda.bindings.driver`, or None: it is optional."""
    try:
        return importlib.import_module("cuda.bindings.driver")
    except (ImportError, OSError, RuntimeError):  # RuntimeError: a driver that it cannot load
        return None


def capture(driver: Any, handle: int, queue: Callable[[], None]) -> Graph | None:
    """Record what `queue` queues on the stream with this handle, or None where that cannot be.

    The same was run once before, and the stream is idle. Only this thread's calls are watched:
    others may go on using the GPU.
    """
    stream = driver.CUstream(handle)
    mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    try:
        _ask(driver, "cuStreamBeginCapture", stream, mode)
    except EngineError as error:
        _log.warning("no CUDA graph: %s", error.message)
        return None
    refused = False
    try:
        queue()
    except EngineError as error:
        _log.warning("no CUDA graph: %s", error.message)
        refused = True
    finally:
        graph = _ended(driver, stream)
    if graph is None:
        return None
    if refused:
        _ask(driver, "cuGraphDestroy", graph)
        return None
    try:
        runnable = _ask(driver, "cuGraphInstantiate", graph, 0)
    except EngineError as error:
        _log.warning("no CUDA graph: %s", error.message)
        _ask(driver, "cuGraphDestroy", graph)
        return None
    return Graph(driver, stream, graph, runnable)


def _ended(driver: Any, stream: Any) -> Any | None:
    """A recording must be ended in any case, or the stream stays unusable."""
    try:
        graph = _ask(driver, "cuStreamEndCapture", stream)
    except EngineError as error:
        _log.warning("no CUDA graph: %s", error.message)
        return None
    return graph if int(graph) else None


def _ask(driver: Any, name: str, *arguments: Any) -> Any:
    """What a call gives beside its status; None where that is nothing."""
    try:
        status, *given = getattr(driver, name)(*arguments)
    except (AttributeError, RuntimeError) as error:
        # RuntimeError: the package knows the call, and the device's driver is too old for it.
        raise EngineError(
            f"cuda-bindings has no {name} here",
            next_step="install the version of cuda-bindings for this driver, or none",
        ) from error
    if int(status) != 0:
        raise EngineError(
            f"the CUDA driver answers {name} with error {int(status)}",
            next_step="pass the original frame on; if it goes on, restart the daemon",
        )
    return given[0] if given else None
