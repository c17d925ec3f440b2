"""Makes small, real bundles for tests: a one-layer network whose every output is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from scanside.compile.pack import write_bundle
from scanside.runtime.bundle import CPU_MODEL, GOLDEN, MODEL, REPORT
from scanside.runtime.frame import FrameFacts
from scanside.runtime.golden import GoldenFrame, encode_golden
from scanside.runtime.intensity import apply_residual, to_unit
from scanside.runtime.manifest import (
    Intensity,
    Manifest,
    Provenance,
    Sizes,
    Tolerance,
    Window,
)
from scanside.runtime.tiling import MINIMUM_SIDE

CT_WINDOW = Window(lower=-160.0, upper=240.0, margin=200.0)


def make_model(residual: str | float = "zero", scale: int = 1) -> bytes:
    """An ONNX network `image` (N, 1, H, W) -> `residual` (N, 1, H * scale, W * scale), float32.

    residual: "zero"; a number, the constant residual everywhere; or "blur": a 3 x 3 mean (zeros
    beyond the edge) less the image, which has a receptive field of 1.
    """
    kernel = np.zeros((scale * scale, 1, 3, 3), np.float32)
    if residual == "blur":
        kernel += np.float32(1 / 9)
        kernel[:, :, 1, 1] -= 1
    constant = 0.0 if isinstance(residual, str) else residual
    bias = np.full(scale * scale, constant, np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "kernel", "bias"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["maps"], ["residual"], blocksize=scale),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, "H", "W"])],
        [helper.make_tensor_value_info("residual", TensorProto.FLOAT, ["N", 1, "H2", "W2"])],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(bias, "bias")],
    )
    opset = helper.make_opsetid("", 20)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    serialised: bytes = model.SerializeToString()
    return serialised


def make_golden(manifest: Manifest, residual: str | float) -> bytes:
    """Golden frames that the network of `make_model` reproduces: 12 bits, and signed with padding.

    Of sizes that the runtime does not pad: past the edge "blur" would see its reflection where the
    NumPy twin below sees zeros.
    """
    step = manifest.multiple_of
    side = -(-max(MINIMUM_SIDE, manifest.sizes.minimum) // step) * step
    ramp = np.linspace(0, 4095, side * (side + step)).reshape(side, side + step)
    mixed = ramp.astype(np.int64) * 7 % 4096
    modality = manifest.modality[0]
    inputs = [
        (
            mixed.astype(np.uint16),
            FrameFacts(modality=modality, bits_stored=12, signed=False, intercept=-1024.0),
        ),
        (
            (mixed - 2048).astype(np.int16),
            FrameFacts(modality=modality, bits_stored=16, signed=True, padding=(-2048, -2000)),
        ),
    ]
    frames = []
    for words, facts in inputs:
        unit = to_unit(words, facts, manifest.intensity, manifest.scale)
        change = _residual(unit, residual).repeat(manifest.scale, 0).repeat(manifest.scale, 1)
        result = apply_residual(words, change, facts, manifest.intensity, manifest.scale)
        frames.append(GoldenFrame(words=words, facts=facts, result=result))
    return encode_golden(frames)


def _residual(unit: npt.NDArray[np.float32], residual: str | float) -> npt.NDArray[np.float32]:
    """What `make_model`'s network gives for one (R, C) image in [0, 1] at scale 1."""
    if residual == "blur":
        rows, columns = unit.shape
        padded = np.pad(unit.astype(np.float64), 1)
        shifted = [padded[r : r + rows, c : c + columns] for r in range(3) for c in range(3)]
        return np.asarray(np.mean(shifted, axis=0) - unit, np.float32)
    return np.full_like(unit, 0.0 if isinstance(residual, str) else residual)


def make_manifest(**changes: Any) -> Manifest:
    """A valid CT manifest without members; `changes` replaces any of its fields."""
    fields: dict[str, Any] = {
        "name": "test",
        "version": "1.0.0",
        "task": "denoise",
        "modality": ("CT",),
        "receptive_field": 0,
        "intensity": CT_WINDOW,
        "tolerance": Tolerance(largest=2.0, p999=1.0, psnr_floor=60.0, data_range=4095.0),
        "provenance": Provenance(recipe="none", seed=0, data_digest="", code_version="test"),
        "members": {},
    }
    return Manifest(**{**fields, **changes})


def make_members(manifest: Manifest, residual: str | float = "zero") -> dict[str, bytes]:
    """Every member but the manifest; one network serves as both models."""
    model = make_model(residual, manifest.scale)
    return {
        MODEL: model,
        CPU_MODEL: model,
        GOLDEN: make_golden(manifest, residual),
        REPORT: json.dumps({"note": "a test bundle: nothing was measured"}).encode(),
    }


def write_test_bundle(
    path: Path,
    *,
    modality: tuple[str, ...] = ("CT",),
    intensity: Intensity = CT_WINDOW,
    scale: int = 1,
    residual: str | float = "zero",
    tile: int = 1024,
    multiple_of: int = 1,
    receptive_field: int = 0,
    **changes: Any,
) -> Path:
    """Write a bundle whose network gives `residual` (see `make_model`) and return its path.

    A tiled "blur" needs receptive_field=1. `changes` replaces any other field of the manifest.
    """
    manifest = make_manifest(
        modality=modality,
        intensity=intensity,
        scale=scale,
        multiple_of=multiple_of,
        receptive_field=receptive_field,
        **{"sizes": Sizes(tile=tile), **changes},
    )
    write_bundle(path, manifest, make_members(manifest, residual))
    return path
