"""A Triton model repository for the ONNX Runtime backend: not verified on a Triton server."""

from __future__ import annotations

from pathlib import Path

import msgspec

from scanside.compile.formats.folder import new_folder, write
from scanside.compile.formats.usage import CARD, Tensor, Usage, usage_of
from scanside.runtime.bundle import CPU_MODEL, TRT_MODEL, Bundle

CONFIG = "config.pbtxt"
NETWORK = "1/model.onnx"
NOT_VERIFIED = ("not verified on a Triton server",)
MAX_BATCH = 4
"""Batches of four gained at most 12% a frame on a CPU, and take four times the memory."""
_TYPES = {"float32": "TYPE_FP32", "float16": "TYPE_FP16"}


def write_triton(bundle: Bundle, member: str, out: Path, force: bool) -> Path:
    """The folder `out`/NAME of a model repository `out`, which may hold other models; returns it.

    Raises OutputExistsError where NAME is there already, unless `force`.
    """
    usage = usage_of(bundle, member, NOT_VERIFIED)
    folder = out / usage.name
    with new_folder(folder, force) as made:
        write(made / NETWORK, bundle.member(member))
        write(made / CONFIG, config_of(usage).encode())
        write(made / CARD, usage.encode())
    return folder


def config_of(usage: Usage) -> str:
    """config.pbtxt: free batch, rows and columns; batches of equal frames as they come."""
    facts = {
        "caution": usage.caution,
        "warnings": "; ".join(usage.warnings) or "none",
        "not_verified": "; ".join(usage.not_verified),
        "identity": usage.identity,
        "sha256": usage.sha256,
        "scale": str(usage.scale),
        "multiple_of": str(usage.multiple_of),
        "smallest_side": str(usage.smallest_side),
        "receptive_field": str(usage.receptive_field),
        "intensity": msgspec.json.encode(usage.intensity).decode(),
        "steps": "; ".join(usage.steps),
    }
    lines = [
        f"# {usage.name} {usage.version}. {usage.caution}",
        *(f"# WARNING: {warning}" for warning in usage.warnings),
        f"# {'; '.join(usage.not_verified)}",
        f"name: {_quoted(usage.name)}",
        'backend: "onnxruntime"',
        f"max_batch_size: {MAX_BATCH}",
        f"input [ {_tensor(usage.input)} ]",
        f"output [ {_tensor(usage.output)} ]",
        "dynamic_batching { }",
        *_placement(usage.member),
        *(
            f"parameters {{ key: {_quoted('scanside.' + key)} "
            f"value {{ string_value: {_quoted(text)} }} }}"
            for key, text in facts.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _tensor(tensor: Tensor) -> str:
    # Triton adds the batch itself, since max_batch_size is over 0.
    dims = ", ".join(str(length if isinstance(length, int) else -1) for length in tensor.shape[1:])
    kind = _TYPES[tensor.dtype]
    return f"{{ name: {_quoted(tensor.name)} data_type: {kind} dims: [ {dims} ] }}"


def _placement(member: str) -> list[str]:
    """The uint8 twin was made for CPUs, the TensorRT file for GPUs; the reference runs on both."""
    if member == CPU_MODEL:
        return ["instance_group [ { kind: KIND_CPU } ]"]
    if member == TRT_MODEL:
        return [
            "instance_group [ { kind: KIND_GPU } ]",
            "optimization { execution_accelerators { gpu_execution_accelerator : [ {",
            '  name: "tensorrt" parameters { key: "precision_mode" value: "INT8" }',
            "} ] } }",
        ]
    return []


def _quoted(text: str) -> str:
    """A string of protobuf's text format; a manifest's texts hold no control characters."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
