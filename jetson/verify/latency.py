"""How long frames take on an engine, one after another or with pauses between them."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import numpy as np

from scanside.runtime.bundle import GOLDEN, Bundle
from scanside.runtime.engines import Engine
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.golden import decode_golden

USUAL_SIDE = 512


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds per frame of side x side pixels, map and network, without the wire.

    gap_s: how long the engine idled before each. worst: the slowest of them all."""

    side: int
    frames: int
    gap_s: float
    median_ms: float
    p95_ms: float
    p99_ms: float
    worst_ms: float


def usual_frame(bundle: Bundle) -> tuple[Pixels, FrameFacts]:
    """A frame of 512 x 512, or of the largest that goes in one piece, out of the golden ones'
    pixels: (1, side, side)."""
    golden = decode_golden(bundle.member(GOLDEN), bundle.manifest)[0]
    sizes = bundle.manifest.sizes
    side = max(sizes.minimum, min(USUAL_SIDE, sizes.tile, sizes.maximum))
    return np.resize(golden.words, (1, side, side)), golden.facts


def time_engine(
    engine: Engine,
    bundle: Bundle,
    frames: int,
    *,
    gap_s: float = 0.0,
    heed: Callable[[], object] = lambda: None,
) -> Latency:
    """Time `frames` frames, after two that are not counted. heed: called after each.

    Raises EngineError when the engine fails."""
    pixels, facts = usual_frame(bundle)
    side = pixels.shape[1]
    engine.warm_up(side, side)
    for _ in range(2):
        engine.run(pixels, [facts])
    taken = []
    for _ in range(frames):
        if gap_s:
            time.sleep(gap_s)
        began = time.perf_counter()
        engine.run(pixels, [facts])
        taken.append(time.perf_counter() - began)
        heed()
    return summed_up(taken, side, gap_s)


def summed_up(seconds: list[float], side: int, gap_s: float = 0.0) -> Latency:
    median, p95, p99 = np.percentile(np.asarray(seconds) * 1e3, [50, 95, 99])
    return Latency(
        side=side,
        frames=len(seconds),
        gap_s=gap_s,
        median_ms=round(float(median), 3),
        p95_ms=round(float(p95), 3),
        p99_ms=round(float(p99), 3),
        worst_ms=round(max(seconds) * 1e3, 3),
    )
