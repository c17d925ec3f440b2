"""The manifest of a bundle: what the model is, what it may touch, and what was proved of it.

MONAI bundle metadata keys are used where they exist (version, changelog, task, description,
network_data_format ...); the rest is ours. On disk it is canonical JSON: UTF-8, sorted keys, no
spaces, so that equal manifests are equal bytes and a signature over them means something.

What a value may be is said once, in the types: bounds are checked when a manifest is decoded
or written, relations between values already when one is made.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

import msgspec

from scanside.runtime.errors import BundleFormatError, BundleVersionError

MEBIBYTE = 1 << 20
FORMAT_MAJOR = 1
MAX_DEPTH = 16
PLAN_PREFIX = "plans/"

Text = Annotated[str, msgspec.Meta(max_length=4096, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
"""One line without control characters: it may reach a terminal."""
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]
Format = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}\Z")]
Version = Annotated[str, msgspec.Meta(pattern=r"^[0-9][0-9A-Za-z.+-]{0,31}\Z")]
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
ModalityCode = Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9_ ]{1,16}\Z")]
Number = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
Magnitude = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Side = Annotated[int, msgspec.Meta(ge=1, le=16384)]


def _need(condition: bool, otherwise: str) -> None:
    # ValueError: msgspec turns it into its own ValidationError with the place in the document.
    if not condition:
        raise ValueError(otherwise)


class Window(msgspec.Struct, frozen=True, tag="window", kw_only=True):
    """A fixed window in modality units (CT: HU). `margin`, in the same units, is where the model's
    influence fades to nothing on either side."""

    lower: Number
    upper: Number
    margin: Magnitude

    def __post_init__(self) -> None:
        _need(self.lower < self.upper, "a window's lower end must be below its upper end")


class Percentiles(msgspec.Struct, frozen=True, tag="percentiles", kw_only=True):
    """A window between two percentiles of the whole frame without its padding.

    margin: as a fraction of the window's width."""

    lower: Percent
    upper: Percent
    margin: Magnitude

    def __post_init__(self) -> None:
        _need(self.lower < self.upper, "the lower percentile must be below the upper one")


class StoredRange(msgspec.Struct, frozen=True, tag="stored_range", kw_only=True):
    """The whole range that the stored bits can hold: nothing lies outside."""


Intensity = Window | Percentiles | StoredRange


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """Rows and columns that frames may have, in input pixels; larger than `tile` goes in tiles."""

    minimum: Side = 1
    maximum: Side = 8192
    tile: Side = 1024

    def __post_init__(self) -> None:
        _need(self.minimum <= self.maximum, "the smallest size must not be over the largest")


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """How far an engine may stand from the reference on the golden frames, in modality units of
    each frame; PSNR in dB against `data_range` (also modality units)."""

    largest: Magnitude
    p999: Magnitude
    psnr_floor: Magnitude
    data_range: Magnitude

    def __post_init__(self) -> None:
        _need(self.data_range > 0, "a data range must be over 0")


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate measured and what it would have refused. PSNR in dB over `data_range`."""

    data: Text
    data_range: Magnitude
    unit: Text
    drift_limit_db: Magnitude
    figures: dict[Text, Number]
    warnings: tuple[Text, ...] = ()
    """What whoever uses the model has to know: what it may lose."""


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on what the model may change in a frame, in the frame's unit range (see
    `scanside.runtime.guard`)."""

    largest_change: Magnitude
    largest_rms: Magnitude


class GoldenNoise(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of what the reference changes in the golden frames, in their unit range."""

    mean: Number
    standard_deviation: Magnitude


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    recipe: Text
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    data_digest: Text
    code_version: Text


class Member(msgspec.Struct, frozen=True, kw_only=True):
    sha256: Digest
    size: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """First member of every bundle. See the module's docstring for whose keys are whose."""

    # MONAI bundle metadata
    schema: Text = (
        "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
        "meta_schema_20240725.json"
    )
    version: Version
    changelog: dict[Text, Text] = {}
    monai_version: Text = ""
    pytorch_version: Text = ""
    numpy_version: Text = ""
    required_packages_version: dict[Text, Text] = {}
    task: Text
    description: Text = ""
    authors: Text = ""
    copyright: Text = ""
    network_data_format: dict[Text, Any] = {}
    # Scanside
    format: Format = "1.0"
    name: Name
    modality: Annotated[tuple[ModalityCode, ...], msgspec.Meta(min_length=1, max_length=64)]
    scale: Annotated[int, msgspec.Meta(ge=1, le=2)] = 1
    multiple_of: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    receptive_field: Annotated[int, msgspec.Meta(ge=0, le=2048)]
    """Radius in input pixels: tiles overlap by at least this."""
    sizes: Sizes = Sizes()
    intensity: Intensity
    tolerance: Tolerance
    acceptance: Acceptance | None = None
    guard: Guard | None = None
    golden_noise: GoldenNoise | None = None
    target: Text = ""
    """What it was compiled for (see scanside.runtime.platforms), or empty: for any."""
    memory_budget_mb: Annotated[int, msgspec.Meta(ge=0, le=1 << 20)] = 0
    serial: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    provenance: Provenance
    members: dict[str, Member]

    def encode(self) -> bytes:
        """Canonical JSON bytes. Raises BundleFormatError for a value out of its bounds."""
        try:
            # Through the types, so that a float given as 1 is written as 1.0.
            exact = msgspec.convert(msgspec.to_builtins(self), Manifest)
        except msgspec.ValidationError as error:
            raise BundleFormatError(f"the manifest cannot be written: {error}") from error
        return _canonical(msgspec.to_builtins(exact))


class _Format(msgspec.Struct):
    format: Format


def _canonical(value: Any) -> bytes:
    # The standard library's encoder, because its floats (`repr`) have one spelling for good.
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def identity_of(raw: bytes) -> str:
    """sha256 (hex) of a manifest's JSON bytes, as if it listed no plans."""
    content = json.loads(raw)
    members = content["members"]
    content["members"] = {k: v for k, v in members.items() if not k.startswith(PLAN_PREFIX)}
    return hashlib.sha256(_canonical(content)).hexdigest()


def with_member(raw: bytes, name: str, member: Member) -> bytes:
    """A manifest's JSON bytes with one more member, keys that this version does not know kept."""
    content = json.loads(raw)
    content["members"][name] = msgspec.to_builtins(member)
    return _canonical(content)


def decode_manifest(raw: bytes) -> Manifest:
    """Manifest from its JSON bytes.

    Raises BundleVersionError for another major version (checked before anything else is looked
    at), BundleFormatError for anything that is not a manifest in canonical form. Keys unknown to
    this minor version are ignored, so `Manifest.encode` of the result need not equal `raw`;
    identity and signature are therefore taken over `raw`.
    """
    try:
        version = msgspec.json.decode(raw, type=_Format).format
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # ValueError: no UTF-8
        raise BundleFormatError("the manifest is not a Scanside manifest") from error
    major = int(version.partition(".")[0])
    if major != FORMAT_MAJOR:
        raise BundleVersionError(
            f"the bundle has format {major}, this Scanside reads format {FORMAT_MAJOR}",
            next_step="update Scanside, or compile the bundle again with this version",
        )
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
        content = json.loads(raw)
        if _canonical(content) != raw:
            raise BundleFormatError("the manifest is not in canonical form")
        _check_depth(content)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        # The parser quotes what it found, which must not reach a terminal as it is.
        what = "".join(c if c.isprintable() else "?" for c in str(error)[:300])
        raise BundleFormatError(f"the manifest is malformed: {what}") from error
    return manifest


def _check_depth(value: Any, level: int = 0) -> None:
    if level > MAX_DEPTH:
        raise BundleFormatError(f"the manifest is nested over {MAX_DEPTH} levels deep")
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_depth(inner, level + 1)
