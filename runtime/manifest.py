"""The manifest of a bundle: what the model is, what it may touch, and what was proved of it.

MONAI bundle metadata keys are used where they exist (version, changelog, task, description,
network_data_format ...); the rest is ours. On disk it is canonical JSON: UTF-8, sorted keys, no
spaces, so that equal manifests are equal bytes and a signature over them means something.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from scanside.runtime.errors import BundleFormatError, BundleVersionError

FORMAT_MAJOR = 1
PLAN_PREFIX = "plans/"


class Window(msgspec.Struct, frozen=True, tag="window", kw_only=True):
    """A fixed window in modality units (CT: HU). `margin`, in the same units, is where the model's
    influence fades to nothing on either side."""

    lower: float
    upper: float
    margin: float


class Percentiles(msgspec.Struct, frozen=True, tag="percentiles", kw_only=True):
    """A window between two percentiles of the whole frame without its padding.

    margin: as a fraction of the window's width."""

    lower: float
    upper: float
    margin: float


class StoredRange(msgspec.Struct, frozen=True, tag="stored_range", kw_only=True):
    """The whole range that the stored bits can hold: nothing lies outside."""


Intensity = Window | Percentiles | StoredRange


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """Rows and columns that frames may have, in input pixels; larger than `tile` goes in tiles."""

    minimum: int = 1
    maximum: int = 8192
    tile: int = 1024


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """How far an engine may stand from the reference on the golden frames, in modality units of
    each frame; PSNR in dB against `data_range` (also modality units)."""

    largest: float
    p999: float
    psnr_floor: float
    data_range: float


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate measured and what it would have refused. PSNR in dB over `data_range`."""

    data: str
    data_range: float
    unit: str
    drift_limit_db: float
    figures: dict[str, float]


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on what the model takes away from a frame, in modality units (used per frame)."""

    largest_change: float
    largest_rms: float


class GoldenNoise(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of the noise removed from the golden frames, in modality units."""

    mean: float
    standard_deviation: float


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    recipe: str
    seed: int
    data_digest: str
    code_version: str


class Member(msgspec.Struct, frozen=True, kw_only=True):
    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """First member of every bundle. See the module's docstring for whose keys are whose."""

    # MONAI bundle metadata
    schema: str = (
        "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
        "meta_schema_20240725.json"
    )
    version: str
    changelog: dict[str, str] = {}
    monai_version: str = ""
    pytorch_version: str = ""
    numpy_version: str = ""
    required_packages_version: dict[str, str] = {}
    task: str
    description: str = ""
    authors: str = ""
    copyright: str = ""
    network_data_format: dict[str, Any] = {}
    # Scanside
    format: str = "1.0"
    name: str
    modality: tuple[str, ...]
    scale: int = 1
    multiple_of: int = 1
    receptive_field: int
    """Radius in input pixels: tiles overlap by at least this."""
    sizes: Sizes = Sizes()
    intensity: Intensity
    tolerance: Tolerance
    acceptance: Acceptance | None = None
    guard: Guard | None = None
    golden_noise: GoldenNoise | None = None
    memory_budget_mb: int = 0
    serial: int = 0
    provenance: Provenance
    members: dict[str, Member]

    def encode(self) -> bytes:
        """Canonical JSON bytes."""
        return msgspec.json.encode(self, order="sorted")

    @property
    def identity(self) -> str:
        """sha256 (hex) of the manifest without plans: a fetched plan makes no other model."""
        members = {k: v for k, v in self.members.items() if not k.startswith(PLAN_PREFIX)}
        bare = msgspec.structs.replace(self, members=members)
        return hashlib.sha256(bare.encode()).hexdigest()


class _Format(msgspec.Struct):
    format: str


def decode_manifest(raw: bytes) -> Manifest:
    """Manifest from its JSON bytes.

    Raises BundleVersionError for another major version (checked before anything else is looked
    at), BundleFormatError for anything that is not a manifest. Keys unknown to this minor version
    are ignored, so `Manifest.encode` of the result need not equal `raw`; identity and signature
    are therefore taken over `raw` by the bundle reader.
    """
    try:
        version = msgspec.json.decode(raw, type=_Format).format
        major = int(version.split(".")[0])
    except (msgspec.DecodeError, ValueError) as error:
        raise BundleFormatError("the manifest is not a Scanside manifest") from error
    if major != FORMAT_MAJOR:
        raise BundleVersionError(
            f"the bundle has format {major}, this Scanside reads format {FORMAT_MAJOR}",
            next_step="update Scanside, or compile the bundle again with this version",
        )
    try:
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BundleFormatError(f"the manifest is malformed: {error}") from error
