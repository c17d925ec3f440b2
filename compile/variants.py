"""The three files of one INT8 model, and every engine that runs one of them here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from scanside.compile.half import HalfLayer, half_precision
from scanside.compile.lint import insist_on_parser
from scanside.compile.twin import cpu_twin
from scanside.compile.walk import ConvLayer, check_int8
from scanside.runtime.bundle import CPU_MODEL, MODEL, TRT_MODEL
from scanside.runtime.engines import EngineSpec, onnxruntime
from scanside.runtime.engines.choose import available_engines, cpu_engine
from scanside.runtime.engines.cpu import CpuEngine, device_name, usable_threads
from scanside.runtime.manifest import Manifest
from scanside.runtime.tiling import Float


class Variants(NamedTuple):
    """members: the three files by their name in a bundle. layers: the convolutions of model.onnx.
    half: what FP16 does to them in model.trt.onnx."""

    members: dict[str, bytes]
    layers: list[ConvLayer]
    half: list[HalfLayer]


def make_variants(
    model: bytes, floats: Collection[str], images: Sequence[Float], tensorrt: tuple[str, ...]
) -> Variants:
    """floats: layers that are not INT8. images: (1, 1, H, W) to find FP16's range with. tensorrt:
    versions whose parser has to take both files [all that are known]. Raises CompileError."""
    layers = check_int8(model, floats)
    insist_on_parser(model, tensorrt)
    trt, half = half_precision(model, floats, images)
    insist_on_parser(trt, tensorrt)
    return Variants({MODEL: model, CPU_MODEL: cpu_twin(model), TRT_MODEL: trt}, layers, half)


def reference_engine(manifest: Manifest, model: bytes) -> CpuEngine:
    """model.onnx on ONNX Runtime: what all others are compared with."""
    return cpu_engine(manifest, model, "onnxruntime", usable_threads())


def engines_of(manifest: Manifest, members: dict[str, bytes]) -> dict[str, CpuEngine]:
    """Every file on every engine that runs it here, by name; the reference comes first."""
    threads = usable_threads()
    engines = {MODEL: reference_engine(manifest, members[MODEL])}
    for name in available_engines():
        engines[f"{CPU_MODEL} on {name}"] = cpu_engine(manifest, members[CPU_MODEL], name, threads)
    network = onnxruntime.load_network(members[TRT_MODEL], threads, as_written=True)
    spec = EngineSpec(
        name="onnxruntime",
        version=onnxruntime.version(),
        device=device_name(),
        threads=threads,
        scale=manifest.scale,
    )
    engines[TRT_MODEL] = CpuEngine(manifest, network, spec)
    return engines
