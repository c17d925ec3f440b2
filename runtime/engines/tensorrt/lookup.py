"""Which plan runs a bundle on this device: from the bundle itself, or from a folder of plans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from scanside.runtime.bundle import Bundle
from scanside.runtime.errors import EngineUnavailableError, PlanError
from scanside.runtime.fingerprint import Fingerprint
from scanside.runtime.manifest import PLAN_PREFIX
from scanside.runtime.planner import kept_plan
from scanside.runtime.plans import LARGEST_EVIDENCE_BYTES, Evidence, check_evidence, plan_keys

_BUILD = "build it on this device: scanside plan FILE"


def find_plan(bundle: Bundle, device: Fingerprint, folders: Sequence[Path]) -> bytes:
    """The bytes of the plan for this device, held against their evidence.

    The bundle's own comes first, then the folders in their order. Raises EngineUnavailableError
    where there is none, saying whether plans are there for another TensorRT or another GPU.
    """
    for key in plan_keys(bundle.manifest, device).values():
        name = f"{PLAN_PREFIX}{key}.plan"
        evidence = _evidence_in(bundle, f"{PLAN_PREFIX}{key}.json")
        if name in bundle.names and evidence is not None:
            data = bundle.member(name)
            if _vouched(evidence, data, bundle):
                return data
    for folder in folders:
        kept = kept_plan(bundle, device, folder)
        if kept is None:
            continue
        try:
            data = kept.path.read_bytes()
        except OSError:
            continue
        # Checked again: what was checked in there must be these very bytes.
        if _vouched(kept.evidence, data, bundle):
            return data
    raise _missing(bundle, device, folders)


def plan_names(bundle: Bundle, folders: Sequence[Path]) -> list[str]:
    """Names of all plans that could be considered: another list may mean another choice."""
    there = {name.removeprefix(PLAN_PREFIX) for name in bundle.names if name.endswith(".plan")}
    for folder in folders:
        there |= {path.name for path in folder.glob("*.plan")}
    return sorted(there)


def _vouched(evidence: Evidence, data: bytes, bundle: Bundle) -> bool:
    try:
        check_evidence(evidence, data, bundle.manifest)
    except PlanError:
        return False
    return True


def _evidence_in(bundle: Bundle, name: str) -> Evidence | None:
    return _decoded(bundle.member(name)) if name in bundle.names else None


def _decoded(raw: bytes) -> Evidence | None:
    try:
        return msgspec.json.decode(raw, type=Evidence)
    except ValueError:  # msgspec's errors are ValueErrors
        return None


def _missing(
    bundle: Bundle, device: Fingerprint, folders: Sequence[Path]
) -> EngineUnavailableError:
    others = [one.fingerprint for one in _about(bundle, folders)]
    model = f"{bundle.manifest.name} {bundle.manifest.version}"
    for other in others:
        if (other.gpu, other.capability) != (device.gpu, device.capability):
            continue
        if other == device:
            return EngineUnavailableError(
                f"the plan of {model} for this device is damaged, or is for other settings",
                next_step=_BUILD,
            )
        if other.tensorrt != device.tensorrt:
            return EngineUnavailableError(
                f"the plan of {model} was built by TensorRT {other.tensorrt}, and this device has "
                f"{device.tensorrt}: no other can run it",
                next_step=_BUILD,
            )
        return EngineUnavailableError(
            f"the plan of {model} is for another system ({other.described}) than this "
            f"({device.described})",
            next_step=_BUILD,
        )
    if others:
        return EngineUnavailableError(
            f"the plan of {model} is for the GPU {others[0].gpu} ({others[0].capability}), and "
            f"this is {device.gpu} ({device.capability})",
            next_step=_BUILD,
        )
    return EngineUnavailableError(
        f"there is no TensorRT plan of {model} for this device", next_step=_BUILD
    )


def _about(bundle: Bundle, folders: Sequence[Path]) -> Iterator[Evidence]:
    """Evidence of plans of this bundle's network, for whatever device."""
    networks = {member.sha256 for member in bundle.manifest.members.values()}
    raws = [bundle.member(name) for name in bundle.names if _is_evidence(name)]
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            try:
                with path.open("rb") as stream:
                    raws.append(stream.read(LARGEST_EVIDENCE_BYTES))
            except OSError:
                continue
    for raw in raws:
        evidence = _decoded(raw)
        if evidence is not None and evidence.onnx in networks:
            yield evidence


def _is_evidence(name: str) -> bool:
    return name.startswith(PLAN_PREFIX) and name.endswith(".json")
