"""An engine on the CPU: the NumPy intensity map and tiles around a network of any library."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scanside.runtime.engines import EngineSpec
from scanside.runtime.errors import EngineError
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import Manifest
from scanside.runtime.tiling import Float, Network, run_tiled


class CpuEngine:
    """An `Engine` (see `scanside.runtime.engines`) around `network`.

    Frames go through one by one: a batch of four was at most 12% faster per frame (512 x 512, ONNX
    Runtime and OpenVINO), and so no result can depend on its neighbours.
    """

    def __init__(self, manifest: Manifest, network: Network, spec: EngineSpec) -> None:
        self._manifest = manifest
        self._network: Network | None = network
        self._spec = spec

    @property
    def spec(self) -> EngineSpec:
        return self._spec

    def run(self, pixels: Pixels, facts: Sequence[FrameFacts], out: Pixels | None = None) -> Pixels:
        """See `Engine.run`."""
        frames, rows, columns = pixels.shape
        if frames != len(facts):
            raise ValueError(f"{frames} frames came with the facts of {len(facts)}")
        scale = self._manifest.scale
        if out is None:
            out = np.empty((frames, rows * scale, columns * scale), dtype=pixels.dtype)
        for words, one, result in zip(pixels, facts, out, strict=True):
            frame = FrameMap(words, one, self._manifest.intensity)
            residual = None if frame.range is None else self._infer(frame.unit(scale))
            frame.apply(residual, scale, out=result)
        return out

    def warm_up(self, rows: int, columns: int) -> None:
        """See `Engine.warm_up`."""
        self._infer(np.zeros((rows, columns), dtype=np.float32))

    def close(self) -> None:
        """Let go of the network; running afterwards is an EngineError."""
        self._network = None

    def _infer(self, unit: Float) -> Float:
        if self._network is None:
            raise EngineError("the engine is closed")
        try:
            return run_tiled(
                self._network,
                unit,
                tile=self._manifest.sizes.tile,
                multiple_of=self._manifest.multiple_of,
                receptive_field=self._manifest.receptive_field,
                scale=self._manifest.scale,
            )
        except EngineError:
            raise
        except Exception as error:  # the libraries raise types of their own, derived from Exception
            raise EngineError(
                f"{self._spec.name} failed on a frame: {type(error).__name__}",
                next_step="pass the original frame on; if it happens again, choose another engine",
            ) from error


def device_name() -> str:
    """The CPU's model name where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def usable_threads() -> int:
    """The cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1
