"""How far an engine may stand from the reference, and that the golden frames can tell.

The limits are set from what honest engines differ by, with as much room for those not seen yet (a
GPU rounds elsewhere) as broken networks leave: an identity network and the network with any one
layer zeroed must fail them. Golden frames that a broken engine passes would be worse than none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import onnx
from onnx import numpy_helper

from scanside.runtime.engines import Engine, EngineSpec, onnxruntime
from scanside.runtime.engines.cpu import CpuEngine
from scanside.runtime.errors import CompileError, GoldenMismatchError
from scanside.runtime.golden import (
    GoldenFrame,
    GoldenReport,
    check_tolerance,
    golden_figures,
)
from scanside.runtime.manifest import Manifest, Tolerance
from scanside.runtime.tiling import Float, Network

ROOMS = (2.0, 1.75, 1.5, 1.25)
"""An engine may differ so many times as much as the worst one measured, and a little at least: the
first at which every broken network fails."""
LEAST_LARGEST, LEAST_P999 = 4 / 4095, 2 / 4095
"""Shares of the data range: 4 and 2 HU of CT."""


def spread(engine: Engine, frames: Sequence[GoldenFrame], data_range: float) -> GoldenReport:
    """How far an engine is from the golden results, frame by frame; PSNR over `data_range`."""
    figures = []
    for frame in frames:
        result = engine.run(frame.words[np.newaxis], [frame.facts])[0]
        figures.append(golden_figures(result, frame, data_range))
    return GoldenReport(tuple(figures))


def sharp_tolerance(
    honest: Sequence[GoldenReport],
    broken: Mapping[str, GoldenReport],
    control_psnr: float,
    drift_limit_db: float,
    data_range: float,
) -> Tolerance:
    """Limits that all the honest engines keep and no broken network does.

    The PSNR floor follows from the gate: an error that is independent of the control's own costs
    `drift_limit_db` when its power is 10^(limit/10) - 1 of the control's (whose PSNR against the
    clean cases is `control_psnr`). Golden frames are harder than images (metal, noise that no
    training saw), so honest engines, each of which passed the gate, may lie below it there: the
    floor then has room below the worst of them.

    Raises CompileError naming a broken network that would pass.
    """
    worst = [one.worst for one in honest]
    gate = control_psnr - 10 * math.log10(10 ** (drift_limit_db / 10) - 1)
    passed = ""
    for room in ROOMS:
        tolerance = Tolerance(
            largest=max(LEAST_LARGEST * data_range, room * max(one.largest for one in worst)),
            p999=max(LEAST_P999 * data_range, room * max(one.p999 for one in worst)),
            psnr_floor=min(gate, min(one.psnr for one in worst) - 20 * math.log10(room)),
            data_range=data_range,
        )
        passed = next((name for name, one in broken.items() if within(one, tolerance)), "")
        if not passed:
            return tolerance
    raise CompileError(
        f"the golden frames cannot tell the model from {passed}",
        next_step="train longer: a layer that changes nothing on them does no work, "
        "or INT8 differs more between engines than that layer matters",
    )


def within(report: GoldenReport, tolerance: Tolerance) -> bool:
    """Whether an engine that far away would pass."""
    try:
        for figures in report.frames:
            check_tolerance(figures, tolerance, "")
    except GoldenMismatchError:
        return False
    return True


def broken_spreads(
    manifest: Manifest, model: bytes, frames: Sequence[GoldenFrame], data_range: float
) -> dict[str, GoldenReport]:
    """How far every broken network is from the golden results, by what was broken."""
    found = {}
    for name, network in broken_networks(model, manifest.scale):
        engine = CpuEngine(manifest, network, _spec(name, manifest))
        found[name] = spread(engine, frames, data_range)
    return found


def broken_networks(model: bytes, scale: int = 1) -> Iterator[tuple[str, Network]]:
    """An identity, and the network with each convolution's weights zeroed in turn."""
    yield "an identity network", partial(_nothing, scale=scale)
    proto = onnx.load_from_string(model)
    producers = {output: node for node in proto.graph.node for output in node.output}
    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in [node for node in proto.graph.node if node.op_type == "Conv"]:
        source = node.input[1]
        while source not in tensors:  # behind DequantizeLinear
            source = producers[source].input[0]
        kept = tensors[source].SerializeToString()
        zeros = np.zeros_like(numpy_helper.to_array(tensors[source]))
        tensors[source].CopyFrom(numpy_helper.from_array(zeros, source))
        yield (
            f"the network without layer {node.name}",
            onnxruntime.load_network(proto.SerializeToString(), 1),
        )
        tensors[source].ParseFromString(kept)


def _nothing(image: Float, scale: int) -> Float:
    batch, channels, rows, columns = image.shape
    return np.zeros((batch, channels, rows * scale, columns * scale), np.float32)


def _spec(name: str, manifest: Manifest) -> EngineSpec:
    return EngineSpec(name=name, version="", device="cpu", threads=1, scale=manifest.scale)
