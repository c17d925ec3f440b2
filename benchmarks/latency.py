"""Latency of a bundle's engines beside the float network that it came from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from scanside.benchmarks.interleave import Latency, interleave
from scanside.runtime.bundle import CPU_MODEL, GOLDEN, Bundle
from scanside.runtime.engines import Engine
from scanside.runtime.engines.choose import available_engines, cpu_engine
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.golden import decode_golden
from scanside.train.run import CONTROL, FLOAT, Run
from scanside.train.stages import eager_engine, load_float
from scanside.train.unet import fuse_batch_norm

BASELINE = "PyTorch eager, float, unpruned"


def measure_latency(
    bundle: Bundle, run: Run | None, *, side: int, threads: int, rounds: int
) -> dict[str, Latency]:
    """Milliseconds for one side x side frame, intensity map included, on `threads` threads each.

    With a run, its float networks take part on eager PyTorch, batch norm folded (without that the
    float side would look slower than it has to), and the unpruned one is the baseline; without,
    the first engine is.
    """
    golden = decode_golden(bundle.member(GOLDEN), bundle.manifest)[0]
    frame = np.resize(golden.words, (1, side, side))
    engines: dict[str, Engine] = {}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        if run is not None:
            whole = fuse_batch_norm(load_float(run, FLOAT))
            pruned = fuse_batch_norm(load_float(run, CONTROL))
            engines[BASELINE] = eager_engine(whole, bundle.manifest)
            engines["PyTorch eager, float, pruned"] = eager_engine(pruned, bundle.manifest)
        for name in available_engines():
            model = bundle.member(CPU_MODEL)
            engines[f"{name}, INT8"] = cpu_engine(bundle.manifest, model, name, threads)
        calls = {name: _call(engine, frame, golden.facts) for name, engine in engines.items()}
        return interleave(calls, next(iter(calls)), rounds)
    finally:
        torch.set_num_threads(before)
        for engine in engines.values():
            engine.close()


def _call(engine: Engine, frame: Pixels, facts: FrameFacts) -> Callable[[], object]:
    return lambda: engine.run(frame, [facts])
