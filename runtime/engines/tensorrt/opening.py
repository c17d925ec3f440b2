"""From a bundle to a TensorRT engine: found, tried in a child process, then opened here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scanside.runtime.bundle import Bundle
from scanside.runtime.engines.tensorrt.engine import TensorRtEngine
from scanside.runtime.engines.tensorrt.lookup import find_plan
from scanside.runtime.engines.tensorrt.trial import trial


def open_planned(bundle: Bundle, folders: Sequence[Path]) -> TensorRtEngine:
    """The engine of a bundle's plan for this device. Not verified on hardware.

    folders: where plans are kept, beside the bundle's own. Raises EngineUnavailableError without
    TensorRT, pycuda, a driver or a GPU; without a plan for this device; and when the driver or
    TensorRT refuses, crashes or hangs. What the plan computes is not tested here: golden frames do.
    """
    with trial() as child:
        device = child.device
        plan = find_plan(bundle, device, folders)
        child.open(bundle.manifest, plan)
    return TensorRtEngine(bundle.manifest, plan, device)
