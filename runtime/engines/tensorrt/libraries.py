"""TensorRT's bindings and pycuda, imported when they are needed and not before.

Neither comes from PyPI on a device, and importing pycuda.driver needs the driver's library; so the
errors say what to install where.
"""

from __future__ import annotations

import importlib
from collections import deque
from typing import Any, TypeVar

from scanside.runtime.errors import EngineUnavailableError

MOST_LINES, LONGEST_LINE = 20, 300
_Thing = TypeVar("_Thing")


def version() -> str:
    """What TensorRT's bindings call themselves. Raises EngineUnavailableError without them."""
    return str(import_tensorrt().__version__)


def import_tensorrt() -> Any:
    """The module `tensorrt`. Raises EngineUnavailableError where it is missing or does not load."""
    try:
        return importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        raise EngineUnavailableError(
            "TensorRT's Python bindings cannot be loaded here",
            next_step="on a Jetson: apt install python3-libnvinfer, and a venv with "
            "--system-site-packages",
        ) from error


def import_pycuda() -> Any:
    """The module `pycuda.driver`, initialised; never `pycuda.autoinit`, whose context is its own
    and not the one that TensorRT uses.

    Raises EngineUnavailableError where it is missing, or the driver refuses.
    """
    try:
        cuda = importlib.import_module("pycuda.driver")
    except (ImportError, OSError) as error:
        raise EngineUnavailableError(
            "pycuda cannot be loaded here",
            next_step="pip install 'scanside[jetson]', with nvcc on the PATH; and a CUDA driver",
        ) from error
    try:
        cuda.init()
    except (cuda.Error, ImportError) as error:
        raise EngineUnavailableError(
            f"the CUDA driver does not start: {type(error).__name__}",
            next_step="run `scanside plan --probe`, which names the cause",
        ) from error
    return cuda


class Said:
    """The last warnings and errors that TensorRT told its logger: it says there why it fails."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=MOST_LINES)

    def add(self, line: str) -> None:
        self._lines.append("".join(c if c.isprintable() else " " for c in line[:LONGEST_LINE]))

    def take(self) -> str:
        """All of it, as what follows on a sentence; empty where nothing was said."""
        told = "; ".join(self._lines)
        self._lines.clear()
        return f": {told}" if told else ""


def make_logger(trt: Any, said: Said) -> Any:
    """An ILogger that keeps warnings and errors in `said`."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(trt.ILogger.Severity.WARNING):
                said.add(message)

    return Logger()


def made(thing: _Thing | None, what: str, said: Said) -> _Thing:
    """TensorRT gives None where it fails. Raises EngineUnavailableError with what it said."""
    if thing is None:
        raise EngineUnavailableError(
            f"TensorRT made no {what}{said.take()}",
            next_step="build the plan again on this device: scanside plan FILE --force",
        )
    return thing
