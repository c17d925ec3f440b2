"""Whether INT8 is worth it: the twin's time against the float control's, on this CPU.

It says nothing of a Jetson, and a model is not refused for it: a convolution that is slow in INT8
here (few channels, no VNNI) may be quick on a GPU. Where the twin is slower the layers that cost
are named.
"""

from __future__ import annotations

import io
from functools import partial

import msgspec
import numpy as np

from scanside.compile.graph import Graph
from scanside.compile.walk import walk
from scanside.runtime.engines.choose import available_engines, load_network
from scanside.runtime.engines.cpu import usable_threads
from scanside.runtime.engines.openvino import the_core
from scanside.runtime.interleave import interleave

SIDE = 512
ROUNDS = 15
FLOAT, INT8 = "float control", "INT8"
OPENVINO = "openvino"  # the engine that times its layers by itself
PROFILED = 5


class LayerTime(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of one convolution, with the reordering of what it reads."""

    name: str
    float_ms: float
    int8_ms: float


class CpuTime(msgspec.Struct, frozen=True, kw_only=True):
    """Medians for one image of `side` x `side`, both in turn; ratio: times as fast as float, with
    its 5th and 95th percentile. slower: layers that take longer in INT8, the worst first, where
    INT8 is no faster and the engine can tell."""

    engine: str
    side: int
    threads: int
    float_ms: float
    int8_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    slower: list[LayerTime]


def time_on_cpu(control: bytes, twin: bytes) -> CpuTime:
    """control: the float control as ONNX. twin: model.cpu.onnx. On the faster library here."""
    threads = usable_threads()
    image = np.random.default_rng(0).random((1, 1, SIDE, SIDE), dtype=np.float32)
    name = OPENVINO if OPENVINO in available_engines() else next(iter(available_engines()))
    calls = {
        label: partial(load_network(model, name, threads), image)
        for label, model in ((FLOAT, control), (INT8, twin))
    }
    found = interleave(calls, FLOAT, ROUNDS)
    int8 = found[INT8]
    slower = name == OPENVINO and int8.ratio <= 1
    return CpuTime(
        engine=name,
        side=SIDE,
        threads=threads,
        float_ms=found[FLOAT].p50,
        int8_ms=int8.p50,
        ratio=int8.ratio,
        ratio_low=int8.ratio_low,
        ratio_high=int8.ratio_high,
        slower=slower_layers(control, twin, SIDE, threads) if slower else [],
    )


def slower_layers(control: bytes, twin: bytes, side: int, threads: int) -> list[LayerTime]:
    """The INT8 convolutions that OpenVINO runs slower than their float ones, the worst first."""
    whole, coded = (_layer_times(model, side, threads) for model in (control, twin))
    integer = {layer.name for layer in walk(Graph(twin)) if layer.integer}
    table = [
        LayerTime(name=name, float_ms=whole.get(name, 0.0), int8_ms=spent)
        for name, spent in coded.items()
        if name in integer and spent > whole.get(name, 0.0)
    ]
    return sorted(table, key=lambda one: one.float_ms - one.int8_ms)


def _layer_times(model: bytes, side: int, threads: int) -> dict[str, float]:
    """Milliseconds of every convolution by its layer's name, median of a few runs."""
    graph = Graph(model)
    layers = {node.name: graph.layer(node) for node in graph.convolutions}
    core = the_core()
    network = core.read_model(io.BytesIO(model))
    network.reshape([1, 1, side, side])
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERF_COUNT": True,
    }
    request = core.compile_model(network, "CPU", settings).create_infer_request()
    image = np.zeros((1, 1, side, side), np.float32)
    spent: dict[str, list[float]] = {name: [] for name in layers.values()}
    for _ in range(PROFILED):
        request.infer([image])
        run = dict.fromkeys(spent, 0.0)
        for part in request.get_profiling_info():
            # What OpenVINO fuses or reorders it calls after the node, with a "/" and more behind.
            layer = layers.get(part.node_name.partition("/")[0])
            if layer is not None:
                run[layer] += part.real_time.total_seconds() * 1e3
        for name, total in run.items():
            spent[name].append(total)
    return {name: float(np.median(times)) for name, times in spent.items()}
