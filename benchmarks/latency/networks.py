"""A bundle's network on its engines, beside the float network that it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch

from scanside.benchmarks.latency.frames import frame_of
from scanside.compile.export import export_onnx
from scanside.runtime.bundle import CPU_MODEL, Bundle
from scanside.runtime.engines.choose import available_engines, cpu_engine, load_network
from scanside.runtime.guard import check_result
from scanside.runtime.interleave import Latency, interleave
from scanside.train.models import fuse_batch_norm
from scanside.train.models.network import Network
from scanside.train.qat import as_network
from scanside.train.run import CONTROL, FLOAT, Run
from scanside.train.stages import load_float

BASELINE = "PyTorch eager, float, unpruned, channels last"
DEFAULT_LAYOUT = "PyTorch eager, float, unpruned, default layout"
PRUNED = "PyTorch eager, float, pruned, channels last"
INT8 = ", INT8"
WHOLE_FRAME = "whole frame"
GUARD = "the guard of one result, NumPy"

Calls = dict[str, Callable[[], object]]


def measure_latency(
    bundle: Bundle, run: Run | None, *, side: int, threads: int, rounds: int
) -> dict[str, Latency]:
    """Milliseconds of `network_calls`, in turn. The baseline is the first of them."""
    with eager_threads(threads):
        calls = network_calls(bundle, run, side=side, threads=threads)
        return interleave(calls, next(iter(calls)), rounds)


def network_calls(
    bundle: Bundle,
    run: Run | None,
    *,
    side: int,
    threads: int,
    engines: Sequence[str] | None = None,
) -> Calls:
    """One network call each on a side x side image, `threads` threads each, for use within
    `eager_threads`; engines: of those that are here, all by default.

    With a run, its float networks take part on eager PyTorch, batch norm folded. The first is the
    unpruned one in the memory layout that PyTorch is fastest in; its default layout stands beside
    it, and both float networks on each engine, which tells what pruning and INT8 give. Names that
    end in `WHOLE_FRAME` are the engine on stored pixels, intensity map and rounding included;
    `GUARD` is what the daemon adds to each of them.
    """
    wanted = list(available_engines()) if engines is None else engines
    rng = np.random.default_rng(0)
    image = rng.random((1, 1, side, side), dtype=np.float32)
    words, facts = frame_of(bundle, side)
    model = bundle.member(CPU_MODEL)
    calls: Calls = {}
    if run is not None:
        for name, eager in _eager_networks(run).items():
            calls[name] = partial(eager, image)
        for label, stage in (("unpruned", FLOAT), ("pruned", CONTROL)):
            network = fuse_batch_norm(load_float(run, stage))
            floats = export_onnx(network, network.multiple_of)
            for name in wanted:
                line = f"{name}, float, {label}"
                calls[line] = partial(load_network(floats, name, threads), image)
    for name in wanted:
        engine = cpu_engine(bundle.manifest, model, name, threads)
        frame = words[np.newaxis]
        calls[f"{name}{INT8}"] = partial(load_network(model, name, threads), image)
        calls[f"{name}{INT8}, {WHOLE_FRAME}"] = partial(engine.run, frame, [facts])
        # Whichever engine's result: its pixels cost the guard the same.
        checked = (bundle.manifest, words, engine.run(frame, [facts])[0], facts)
        calls[GUARD] = partial(check_result, *checked)
    return calls


@contextmanager
def eager_threads(threads: int) -> Iterator[None]:
    """So many threads for eager PyTorch while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _eager_networks(run: Run) -> dict[str, Callable[[object], object]]:
    whole, pruned = (fuse_batch_norm(load_float(run, stage)) for stage in (FLOAT, CONTROL))
    return {
        BASELINE: as_network(_channels_last(whole)),
        DEFAULT_LAYOUT: as_network(whole),
        PRUNED: as_network(_channels_last(pruned)),
    }


def _channels_last(model: Network) -> Network:
    """A copy whose weights lie channels last; PyTorch then keeps to that layout throughout."""
    copied = fuse_batch_norm(model)
    for weight in copied.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return copied
