"""Frame after frame for minutes: whether it stays right, as fast, as small and as cool."""

from __future__ import annotations

import time
from collections.abc import Callable

from scanside.jetson.machine import Machine
from scanside.jetson.verify.facts import Moment, read_moment
from scanside.jetson.verify.latency import summed_up, usual_frame
from scanside.jetson.verify.record import Soak
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines import Engine
from scanside.runtime.golden import check_engine

MOMENTS = 60
"""That many are kept, evenly apart."""


def soak(
    machine: Machine,
    engine: Engine,
    bundle: Bundle,
    minutes: float,
    told: Callable[[str], object] = lambda text: None,
    heed: Callable[[], object] = lambda: None,
) -> Soak:
    """Run one frame over and over for `minutes`, golden ones now and then. heed: called after each.

    Raises EngineError when the engine fails, GoldenMismatchError when it fails the golden frames.
    """
    pixels, facts = usual_frame(bundle)
    expected = engine.run(pixels, [facts])
    began = time.monotonic()
    every = minutes * 60 / MOMENTS
    seconds: list[float] = []
    moments: list[Moment] = [read_moment(machine)]
    passes = differing = 0
    while (elapsed := time.monotonic() - began) < minutes * 60 or len(seconds) < 10:
        start = time.perf_counter()
        result = engine.run(pixels, [facts])
        seconds.append(time.perf_counter() - start)
        differing += result.tobytes() != expected.tobytes()
        heed()
        if elapsed >= len(moments) * every:
            check_engine(engine, bundle)
            passes += 1
            moments.append(read_moment(machine))
            told(f"soak: {elapsed / 60:.1f} of {minutes:g} min, {len(seconds)} frames")
    check_engine(engine, bundle)
    moments.append(read_moment(machine))
    side = pixels.shape[1]
    tenth = max(1, len(seconds) // 10)
    return Soak(
        minutes=round((time.monotonic() - began) / 60, 3),
        frames=len(seconds),
        golden_passes=passes + 1,
        differing=differing,
        whole=summed_up(seconds, side),
        first=summed_up(seconds[:tenth], side),
        last=summed_up(seconds[-tenth:], side),
        moments=tuple(moments),
    )
