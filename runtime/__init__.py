"""The device's side: bundle -> engine -> daemon, and the client an appliance uses.

Never imports torch, onnx or monai, nor any other package of Scanside.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanside.runtime.client import Client
    from scanside.runtime.frame import FrameFacts
    from scanside.runtime.results import Result
    from scanside.runtime.wire import Outcome, Reason

# ONNX Runtime's own wheels (1.31, Linux) hold Microsoft's telemetry client, which starts with the
# import and writes to the temporary folder. Nothing here may tell anybody anything: it is switched
# off before any module of ours can import the library.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__all__ = ["Client", "FrameFacts", "Outcome", "Reason", "Result"]

_HOME = {
    "Client": "scanside.runtime.client",
    "FrameFacts": "scanside.runtime.frame",
    "Outcome": "scanside.runtime.wire",
    "Reason": "scanside.runtime.wire",
    "Result": "scanside.runtime.results",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when first asked for: `scanside --help` needs neither ZeroMQ nor
    NumPy."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
