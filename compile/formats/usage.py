"""What a user of an export has to know: how to feed the network, and what was proved of it."""

from __future__ import annotations

from importlib.metadata import version

import msgspec
import onnx

from scanside.runtime.bundle import CPU_MODEL, MODEL, TRT_MODEL, Bundle
from scanside.runtime.errors import CompileError
from scanside.runtime.manifest import (
    Acceptance,
    Intensity,
    Manifest,
    Percentiles,
    Sizes,
    Window,
)
from scanside.runtime.tiling import MINIMUM_SIDE

MODELS = {"cpu": CPU_MODEL, "reference": MODEL, "trt": TRT_MODEL}
"""What `--model` calls a bundle's networks."""
CARD = "scanside.json"
"""Where an export in a folder keeps its card; a folder that holds one may be replaced."""
CAUTION = (
    "This export stands outside the bundle's signature, its golden self-test and the daemon's "
    "guard: whoever runs it answers for all three. It is no medical device."
)


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """shape: a number, or the name of a length that is free."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """The card beside every export.

    identity: of the bundle. signed_with: id of the key whose signature was verified when this was
    exported, or empty. member: the bundle's name for the network, whose bytes have `sha256`.
    multiple_of, smallest_side, receptive_field: in input pixels; the last is a radius.
    """

    name: str
    version: str
    task: str
    modality: tuple[str, ...]
    caution: str = CAUTION
    warnings: tuple[str, ...]
    not_verified: tuple[str, ...]
    identity: str
    signed_with: str
    exported_by: str
    member: str
    sha256: str
    input: Tensor
    output: Tensor
    scale: int
    multiple_of: int
    smallest_side: int
    receptive_field: int
    sizes: Sizes
    intensity: Intensity
    steps: tuple[str, ...]
    acceptance: Acceptance | None

    def encode(self) -> bytes:
        """Indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"


def usage_of(bundle: Bundle, member: str, not_verified: tuple[str, ...] = ()) -> Usage:
    """The card of one network of a verified bundle; BundleFormatError when it holds none such."""
    manifest = bundle.manifest
    graph = onnx.load_from_string(bundle.member(member)).graph
    initialised = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in initialised]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise CompileError(
            f"{member} has {len(inputs)} inputs and {len(graph.output)} outputs, not one of each",
            next_step="compile the bundle again with this version",
        )
    return Usage(
        name=manifest.name,
        version=manifest.version,
        task=manifest.task,
        modality=manifest.modality,
        warnings=manifest.acceptance.warnings if manifest.acceptance else (),
        not_verified=not_verified,
        identity=bundle.identity,
        signed_with=bundle.signer,
        exported_by=f"scanside {version('scanside')}",
        member=member,
        sha256=manifest.members[member].sha256,
        input=_tensor(inputs[0]),
        output=_tensor(graph.output[0]),
        scale=manifest.scale,
        multiple_of=manifest.multiple_of,
        smallest_side=MINIMUM_SIDE,
        receptive_field=manifest.receptive_field,
        sizes=manifest.sizes,
        intensity=manifest.intensity,
        steps=steps_of(manifest),
        acceptance=manifest.acceptance,
    )


def steps_of(manifest: Manifest) -> tuple[str, ...]:
    """What `scanside.runtime` does around the network, one sentence a step."""
    side = f"a multiple of {manifest.multiple_of}" if manifest.multiple_of > 1 else "any length"
    base = "the frame itself" if manifest.scale == 1 else "its 2x cubic (Keys, a = -1/2)"
    hole = " at scale 2 padding is first filled from around," if manifest.scale == 2 else ""
    return (
        "value = stored * slope + intercept, the slope and intercept of the frame",
        _span_rule(manifest.intensity),
        f"image = clip((value - zero) / span, 0, 1);{hole} MONOCHROME1: feed 1 - image",
        f"pad at the bottom and right by reflection to {side}, at least {MINIMUM_SIDE} a side; "
        f"cut what comes back; larger than {manifest.sizes.tile}: tiles whose origins are such "
        f"multiples too, overlapping by {manifest.receptive_field} and more",
        f"base = {base}; u = (base - zero) / span, of base clipped to Bits Stored; "
        "w = clip(min(u, 1 - u) / fade, 0, 1), for a fade of 0: 1 within [0, 1], else 0; "
        "w = 0 on Pixel Padding Value",
        "result = base + w * residual * span, MONOCHROME1: base - w * residual * span; back to "
        "stored values, rounded, clipped to Bits Stored",
    )


def _span_rule(intensity: Intensity) -> str:
    if isinstance(intensity, Window):
        span = intensity.upper - intensity.lower + 2 * intensity.margin
        return (
            f"zero = {intensity.lower - intensity.margin:g}, span = {span:g}, "
            f"fade = {intensity.margin / span:.9g}"
        )
    if isinstance(intensity, Percentiles):
        margin = intensity.margin
        return (
            f"low, high = percentiles {intensity.lower:g} and {intensity.upper:g} of the frame's "
            f"values without padding; width = high - low; zero = low - {margin:g} * width, "
            f"span = {1 + 2 * margin:g} * width, fade = {margin / (1 + 2 * margin):.9g}; "
            "a frame without width is its own result"
        )
    return "zero, zero + span = the least and the largest value that Bits Stored can hold; fade = 0"


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    shape = tuple(dim.dim_param or int(dim.dim_value) for dim in kind.shape.dim)
    return Tensor(name=value.name, dtype=dtype, shape=shape)
