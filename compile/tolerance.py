"""How far an engine may stand from the reference, and that the golden frames can tell.

The limits are set from what honest engines differ by, with room for those not seen yet (a GPU
rounds elsewhere), and then proved sharp: an identity network and the network with any one layer
zeroed must fail them. Golden frames that a broken engine passes would be worse than none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from scanside.runtime.engines import Engine, EngineSpec, onnxruntime
from scanside.runtime.engines.cpu import CpuEngine
from scanside.runtime.errors import CompileError
from scanside.runtime.golden import GoldenFrame
from scanside.runtime.manifest import Manifest, Tolerance
from scanside.runtime.tiling import Float, Network
from scanside.train.measure import CT_RANGE

ROOM = 2.0
"""An engine may differ twice as much as the worst one measured, and a few HU at least."""
LEAST_LARGEST, LEAST_P999 = 4.0, 2.0
ROOM_DB = 6.0
MOST_PSNR = 90.0


class Spread(tuple[float, float, float]):
    """(largest, 99.9th percentile, PSNR in dB) of the worst frame, in modality units."""


def spread(engine: Engine, frames: Sequence[GoldenFrame]) -> Spread:
    """How far an engine is from the golden results, at worst over the frames."""
    largest, p999, floor = 0.0, 0.0, math.inf
    for frame in frames:
        result = engine.run(frame.words[np.newaxis], [frame.facts])[0]
        difference = np.abs(result.astype(np.float64) - frame.result.astype(np.float64))
        difference *= abs(frame.facts.slope)
        error = float(np.mean(difference**2))
        largest = max(largest, float(difference.max()))
        p999 = max(p999, float(np.percentile(difference, 99.9)))
        floor = min(floor, 10 * math.log10(CT_RANGE**2 / error) if error else math.inf)
    return Spread((largest, p999, floor))


def set_tolerance(honest: Sequence[Spread]) -> Tolerance:
    """Limits that all the honest engines keep with room to spare."""
    return Tolerance(
        largest=max(LEAST_LARGEST, ROOM * max(one[0] for one in honest)),
        p999=max(LEAST_P999, ROOM * max(one[1] for one in honest)),
        psnr_floor=min(MOST_PSNR, *(one[2] for one in honest)) - ROOM_DB,
        data_range=CT_RANGE,
    )


def within(one: Spread, tolerance: Tolerance) -> bool:
    """Whether an engine that far away would pass."""
    return (
        one[0] <= tolerance.largest and one[1] <= tolerance.p999 and one[2] >= tolerance.psnr_floor
    )


def prove_sharp(
    manifest: Manifest, model: bytes, frames: Sequence[GoldenFrame], tolerance: Tolerance
) -> int:
    """Check that every broken network fails the limits; returns how many were tried.

    Raises CompileError naming the first one that would have passed.
    """
    tried = 0
    for name, network in broken_networks(model):
        engine = CpuEngine(manifest, network, _spec(name, manifest))
        if within(spread(engine, frames), tolerance):
            raise CompileError(
                f"the golden frames cannot tell the model from {name}",
                next_step="train longer: a layer that changes nothing on them does no work, "
                "or INT8 differs more between engines than that layer matters",
            )
        tried += 1
    return tried


def broken_networks(model: bytes) -> Iterator[tuple[str, Network]]:
    """An identity, and the network with each convolution's weights zeroed in turn."""
    yield "an identity network", _nothing
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


def _nothing(image: Float) -> Float:
    return np.zeros_like(image)


def _spec(name: str, manifest: Manifest) -> EngineSpec:
    return EngineSpec(name=name, version="", device="cpu", threads=1, scale=manifest.scale)
