"""The network on other people's engines in float, beside INT8 pruned on ours."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch

from scanside.benchmarks.evidence.paired import ratio_of
from scanside.benchmarks.peers.overheads import blocked, median_of
from scanside.benchmarks.peers.rows import EAGER, EngineRow
from scanside.benchmarks.peers.turns import turns
from scanside.compile.export import export_onnx
from scanside.runtime.bundle import CPU_MODEL, Bundle
from scanside.runtime.engines.choose import available_engines, load_network
from scanside.runtime.progress import task
from scanside.runtime.tiling import Float, Network
from scanside.train.models import fuse_batch_norm
from scanside.train.models import network as networks
from scanside.train.qat import as_network
from scanside.train.run import CONTROL, FLOAT, Run
from scanside.train.stages import load_float

COMPILED = "torch.compile, float, {}"
NAMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
STAGES = {"unpruned": FLOAT, "pruned": CONTROL}
FAR_OFF = 0.05
"""A contender whose answer is off by more of the largest residual ran something else."""


def measure_engines(
    run: Run, bundle: Bundle, *, side: int, threads: int, rounds: int, compile_pruned: bool = True
) -> tuple[list[EngineRow], list[str]]:
    """One side x side image through every contender in turn, `threads` threads each, and what was
    left out. All float networks have their batch norm folded, and PyTorch has the memory layout
    that it is fastest in. compile_pruned: torch.compile takes its time for that network too."""
    image = np.random.default_rng(0).random((1, 1, side, side), dtype=np.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with _compiler_at_home():
            compiled = list(STAGES)[: 1 + compile_pruned]
            calls, first, notes = _contenders(run, bundle, image, threads, compiled)
            bound = {name: partial(call, image) for name, call in calls.items()}
            times = turns(bound, rounds, f"Engines, {side} x {side}")
    finally:
        torch.set_num_threads(before)
    rows = []
    for name, mine in times.items():
        faster = times[EAGER] / mine
        rows.append(
            EngineRow(
                name=name,
                int8="INT8" in name,
                ms=median_of(mine),
                p99=float(np.percentile(mine, 99)),
                faster=ratio_of(times[EAGER], mine),
                rounds=blocked(faster),
                first_s=first.get(name),
            )
        )
    return rows, notes


def _contenders(
    run: Run, bundle: Bundle, image: Float, threads: int, to_compile: Sequence[str]
) -> tuple[dict[str, Network], dict[str, float], list[str]]:
    calls: dict[str, Network] = {}
    first: dict[str, float] = {}
    notes: list[str] = []
    for label, stage in STAGES.items():
        model = fuse_batch_norm(load_float(run, stage))
        floats = export_onnx(model, model.multiple_of)
        eager = fuse_batch_norm(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        calls[f"PyTorch eager, float, {label}"] = as_network(eager)
        wanted = calls[f"PyTorch eager, float, {label}"](image)
        if label in to_compile:
            name = COMPILED.format(label)
            try:
                compiled, seconds = _compiled(eager, image)
                _same(compiled(image), wanted)
                calls[name], first[name] = compiled, seconds
            except Exception as error:  # noqa: BLE001 - its compiler fails in ways of its own
                words = (str(error).strip().splitlines() or [""])[0][:120]
                notes.append(f"{name} is left out: {type(error).__name__}: {words}")
        for name in available_engines():
            network = load_network(floats, name, threads)
            _same(network(image), wanted)
            calls[f"{NAMES[name]}, float, {label}"] = network
    for name in available_engines():
        model_file = bundle.member(CPU_MODEL)
        calls[f"{NAMES[name]}, INT8, pruned"] = load_network(model_file, name, threads)
    return calls, first, notes


def _same(found: Float, wanted: Float) -> None:
    if np.abs(found - wanted).max() > FAR_OFF * np.abs(wanted).max():
        raise ArithmeticError("its answer is another network's")


def _compiled(model: networks.Network, image: Float) -> tuple[Network, float]:
    """The network compiled for this size, and the seconds that its first call took."""
    compiled = fuse_batch_norm(model)  # a copy
    compiled.compile(dynamic=False)
    network: Network = as_network(compiled)
    start = time.perf_counter()
    with task("torch.compile", 1) as progress:
        network(image)
        progress.advance()
    return network, time.perf_counter() - start


@contextmanager
def _compiler_at_home() -> Iterator[None]:
    """torch.compile's cache in a folder that goes away, so that the first call compiles and nothing
    stays; and without its pool of processes."""
    names = ("TORCHINDUCTOR_CACHE_DIR", "TORCHINDUCTOR_COMPILE_THREADS")
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(dict(zip(names, (folder, "1"), strict=True)))
        try:
            yield
        finally:
            torch.compiler.reset()
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
