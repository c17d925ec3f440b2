"""Whether a bundle may run on this device: who signed it, for what it was made, its plans."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from scanside.jetson.device.module import read_module
from scanside.jetson.device.release import read_release
from scanside.jetson.layout import TRUST
from scanside.jetson.machine import Machine
from scanside.runtime.bundle import (
    Bundle,
    insist_on_signature,
    read_bundle,
    read_bytes_of,
    refuse_older,
)
from scanside.runtime.engines.choose import AUTO, TENSORRT
from scanside.runtime.engines.tensorrt.libraries import version as tensorrt_version
from scanside.runtime.errors import (
    EngineUnavailableError,
    PlanError,
    TargetError,
)
from scanside.runtime.fingerprint import Fingerprint
from scanside.runtime.manifest import PLAN_PREFIX
from scanside.runtime.planner import probe
from scanside.runtime.plans import plan_keys
from scanside.runtime.platforms import release_of
from scanside.runtime.signing import Trust
from scanside.runtime.store import Chosen


def trust_of(machine: Machine) -> Trust:
    """Who is trusted on a machine: this one's as everywhere, another's by its own folder."""
    if machine.is_this:
        return Trust.here()
    folder = machine.path(TRUST)
    return Trust.load(folder) if folder.is_dir() else Trust()


def read_verified(machine: Machine, file: Path, allow_unsigned: bool) -> tuple[Bundle, str]:
    """A bundle and the sha256 (hex) of its file. Raises BundleError as `Bundle.open`, and
    UnsignedBundleError."""
    raw = read_bytes_of(file)
    bundle = read_bundle(io.BytesIO(raw), len(raw), trust_of(machine))
    if not allow_unsigned:
        insist_on_signature(bundle, file)
    return bundle, hashlib.sha256(raw).hexdigest()


def refuse_older_than(chosen: Chosen, bundle: Bundle) -> None:
    """Raises DowngradeError for a serial under the one that its name has reached here."""
    refuse_older(bundle.manifest, chosen.serials.get(bundle.manifest.name, 0))


def refuse_other_target(machine: Machine, bundle: Bundle) -> None:
    """Raises TargetError for a bundle that was compiled for another device than this one."""
    target = bundle.manifest.target
    if not target:
        return
    l4t, module = read_release(machine).l4t, read_module(machine)
    release = release_of(l4t) if l4t else None
    names = {f"{name}-jp{release.jetpack}" for name in module.candidates} if release else set()
    if target in names:
        return
    here = ", ".join(sorted(names)) or ("no Jetson" if l4t is None else "no module known here")
    raise TargetError(
        f"the bundle is for {target}; this is {here}",
        next_step="take the bundle of this device, or compile one for it with --target",
    )


def carries_plan(bundle: Bundle, device: Fingerprint) -> str:
    """Key of the plan for this device that the bundle brings along; empty where it has none."""
    for key in plan_keys(bundle.manifest, device).values():
        if f"{PLAN_PREFIX}{key}.plan" in bundle.names:
            return key
    return ""


def refuse_foreign_plans(bundle: Bundle, device: Fingerprint | None) -> None:
    """Raises PlanError where a bundle brings plans along, and all were built elsewhere."""
    plans = [name for name in bundle.names if name.endswith(".plan")]
    if device is None or not plans or carries_plan(bundle, device):
        return
    raise PlanError(
        f"the bundle's plan was built on another device than this one ({device.described})",
        next_step="take the bundle of this device, or have it build a plan of its own: --build",
    )


def tensorrt_here(engine: str) -> Fingerprint | None:
    """What TensorRT on this machine says it is, asked in a process of its own; None where a CPU
    engine is named, and for `auto` where TensorRT, its driver or a GPU is missing."""
    if engine not in (AUTO, TENSORRT):
        return None
    try:
        tensorrt_version()
        return probe()
    except (EngineUnavailableError, PlanError):
        if engine == TENSORRT:
            raise
        return None
