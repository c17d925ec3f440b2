"""What a TensorRT plan is known by: its key, and the evidence that its builder gives.

A plan's key is the sha256 of the network, the whole fingerprint of the device and the builder's
settings: whoever needs a plan computes the key from what is in front of it and can find only the
plan that was built for that. The key does not vouch for the plan's bytes: their own sha256 does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated

import msgspec

from scanside.runtime.bundle import MODEL, TRT_MODEL
from scanside.runtime.errors import PlanError
from scanside.runtime.fingerprint import Fingerprint
from scanside.runtime.manifest import Digest, Manifest, Text
from scanside.runtime.tiling import MINIMUM_SIDE

BUILDER_MODULE = "scanside.compile.plan"
"""Started by its name, as a process of its own: the runtime imports nothing of it."""
DEFAULT_TIME_LIMIT_S = 1800
DEFAULT_WORKSPACE_MB = 1024
SOURCES = (TRT_MODEL, MODEL)
"""What a plan may be built from, the first that builds."""
LARGEST_PLAN_BYTES = 256 << 20
LARGEST_EVIDENCE_BYTES = 1 << 20
_USUAL_SIDE = 512
_BUILDER = 1  # what plan.py asks of TensorRT beside the settings: one more when that changes

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """sides: smallest, usual and largest of a frame or tile, in pixels. workspace_mb: what the
    builder may take for a layer. optimisation: TensorRT's level; 3 is its default, and more takes
    hours on a Jetson for a percent."""

    sides: tuple[int, int, int]
    workspace_mb: int
    optimisation: int = 3
    builder: int = _BUILDER


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a plan came to be. sha256, size: of the plan, in bytes. source: the bundle's file that it
    was built from, and onnx, that file's sha256. layers: in all; int8: of them on INT8. label:
    "local" for a workstation's GPU, else "device". seconds: the building took. log: what TensorRT
    warned of, what failed before included."""

    key: Digest
    sha256: Digest
    size: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_PLAN_BYTES)]
    source: Text
    onnx: Digest
    fingerprint: Fingerprint
    settings: Settings
    label: Text
    layers: Count
    int8: Count
    seconds: Annotated[float, msgspec.Meta(ge=0, le=1e9)]
    scanside: Text
    log: tuple[str, ...] = ()

    def encode(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1) + b"\n"


def settings_of(manifest: Manifest) -> Settings:
    """Sides that the runtime will send, tiles at most, each a multiple of what networks need."""
    step = manifest.multiple_of

    def up(side: int) -> int:
        return -(-side // step) * step

    smallest = up(max(MINIMUM_SIDE, min(manifest.sizes.minimum, manifest.sizes.tile)))
    largest = max(smallest, up(min(manifest.sizes.maximum, manifest.sizes.tile)))
    usual = min(max(smallest, up(_USUAL_SIDE)), largest)
    workspace = manifest.memory_budget_mb // 2 or DEFAULT_WORKSPACE_MB
    return Settings(sides=(smallest, usual, largest), workspace_mb=workspace)


def plan_key(onnx: str, fingerprint: Fingerprint, settings: Settings) -> str:
    """sha256 (hex) over canonical JSON. onnx: sha256 (hex) of the file that is built."""
    content = msgspec.to_builtins([onnx, fingerprint, settings])
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def plan_keys(manifest: Manifest, fingerprint: Fingerprint) -> Mapping[str, str]:
    """Source -> key of the plans that would serve a bundle on a device, the best source first."""
    settings = settings_of(manifest)
    return {
        name: plan_key(manifest.members[name].sha256, fingerprint, settings)
        for name in SOURCES
        if name in manifest.members
    }


def check_evidence(evidence: Evidence, plan: bytes, manifest: Manifest) -> None:
    """Whether evidence is about this plan of this bundle, by computing it all again.

    Raises PlanError where it is not, and for a plan without INT8.
    """
    known = plan_keys(manifest, evidence.fingerprint)
    flaw = ""
    if hashlib.sha256(plan).hexdigest() != evidence.sha256 or len(plan) != evidence.size:
        flaw = "the plan's bytes are not those that its builder vouched for"
    elif known.get(evidence.source) != evidence.key:
        flaw = "the plan's key is not that of this bundle, this device and these settings"
    elif manifest.members[evidence.source].sha256 != evidence.onnx:
        flaw = "the plan was built from another network"
    elif evidence.settings != settings_of(manifest):
        flaw = "the plan was built with other settings"
    elif evidence.int8 < 1:
        flaw = "none of the plan's layers works on INT8"
    elif evidence.label != label_of(evidence.fingerprint):
        flaw = "the plan's label is not what its fingerprint says"
    if flaw:
        raise PlanError(flaw, next_step="build it again with this version of Scanside")


def label_of(fingerprint: Fingerprint) -> str:
    return "local" if fingerprint.local else "device"
