"""Whether a bundle is for this device: who signed it, its target, its plans, its serial."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from scanside.jetson import layout
from scanside.jetson.doctor.verdict import Case, Check, Line
from scanside.jetson.machine import Machine
from scanside.runtime.bundle import Bundle, insist_on_signature, refuse_older
from scanside.runtime.errors import ScansideError
from scanside.runtime.fingerprint import Fingerprint, memory_class
from scanside.runtime.manifest import PLAN_PREFIX
from scanside.runtime.plans import Evidence, plan_keys
from scanside.runtime.signing import Trust

_FETCH = "do not use this file: fetch it again from whoever made it"


def open_bundle(machine: Machine, file: Path) -> tuple[Bundle | None, Check]:
    """The bundle, if it can be verified with the keys that the machine trusts, and how it went."""
    line = Line("bundle.signature", f"{file.name}", "whole, signed by a key trusted here")
    try:
        trust = _trust(machine)
        bundle = Bundle.open(file, trust or Trust())
    except ScansideError as error:
        return None, line.red(error.message, error.next_step or _FETCH)
    manifest = bundle.manifest
    if trust is None:
        return bundle, line.yellow(f"{layout.TRUST} cannot be read", "run it again as root")
    try:
        insist_on_signature(bundle, file)
    except ScansideError as error:
        return bundle, line.red(error.message, error.next_step or _FETCH)
    words = f"{manifest.name} {manifest.version}, serial {manifest.serial}"
    return bundle, line.green(f"{words}, signed by {bundle.signer[:16]}")


def _trust(machine: Machine) -> Trust | None:
    """The keys that the machine trusts; None where whoever asks may not see them."""
    try:
        if machine.is_this:
            return Trust.here()
        machine.path(layout.TRUST).stat()
        return Trust.load(machine.path(layout.TRUST))
    except (FileNotFoundError, NotADirectoryError):
        return Trust()
    except PermissionError:
        return None


def check_bundle(case: Case, bundle: Bundle) -> Iterator[Check]:
    yield _target(case, bundle)
    yield _plans(case, bundle)
    yield _serial(case, bundle)


def _target(case: Case, bundle: Bundle) -> Check:
    line = Line("bundle.target", "Bundle for this device", case.target or "")
    wanted = bundle.manifest.target
    if not wanted:
        return line.green("for any device")
    if case.target is None:
        return line.not_judged(f"it is for {wanted}; what this is, is not known or supported")
    if wanted == case.target:
        return line.green(wanted)
    return line.red(
        f"it is for {wanted}",
        f"compile it for this one: scanside compile RUN --target {case.target} --out FILE",
    )


def _plans(case: Case, bundle: Bundle) -> Check:
    line = Line("bundle.plan", "Plan in the bundle", "of this very device, or none")
    carried = [name for name in bundle.names if name.startswith(PLAN_PREFIX) and ".plan" in name]
    if not carried:
        return line.green("none: it is built here, which takes minutes")
    here = fingerprint_of(case)
    if here is None:
        return line.not_judged("CUDA or TensorRT do not answer, so nothing can be compared")
    keys = plan_keys(bundle.manifest, here).values()
    if any(f"{PLAN_PREFIX}{key}.plan" in carried for key in keys):
        return line.green("built for this device")
    others = sorted({_built_on(bundle, name, here) for name in carried})
    return line.red(
        f"built elsewhere: {'; '.join(others)}",
        "build one here, which takes minutes: sudo scanside device install FILE --build",
    )


def _built_on(bundle: Bundle, plan: str, here: Fingerprint) -> str:
    """What of the builder differs from this device."""
    try:
        raw = bundle.member(plan.removesuffix(".plan") + ".json")
        there = msgspec.json.decode(raw, type=Evidence).fingerprint
    except (ScansideError, ValueError):
        return "by nobody knows what"
    mine, other = msgspec.to_builtins(here), msgspec.to_builtins(there)
    differs = [name for name in Fingerprint.__struct_fields__ if mine.get(name) != other.get(name)]
    return ", ".join(f"{name} {other.get(name, '?')}" for name in differs) or "other settings"


def _serial(case: Case, bundle: Bundle) -> Check:
    chosen = case.device.appliance.chosen
    manifest = bundle.manifest
    reached = chosen.serials.get(manifest.name, 0) if chosen else 0
    line = Line("bundle.serial", "Not older than before", f"{reached} or more")
    if case.device.appliance.store_damaged or (
        chosen is None and any(name.startswith(layout.STORE) for name in case.device.unreadable)
    ):
        return line.not_judged("the store cannot be read")
    try:
        refuse_older(manifest, reached)
    except ScansideError as error:
        return line.red(error.message, error.next_step)
    return line.green(f"serial {manifest.serial}")


def fingerprint_of(case: Case) -> Fingerprint | None:
    """The device's fingerprint, as a build on it would tell it; None where CUDA or TensorRT do not
    answer."""
    cuda, tensorrt = case.device.python.cuda, case.device.python.tensorrt
    version = tensorrt.full or tensorrt.version
    if not cuda.count or not cuda.version or not version or not cuda.memory_bytes:
        return None
    # The module by its board alone, as `runtime.fingerprint` takes it.
    module = case.device.module
    return Fingerprint(
        tensorrt=version,
        l4t=case.device.release.l4t or "",
        driver=cuda.version,
        gpu=cuda.gpu,
        capability=cuda.capability,
        memory_gb=memory_class(cuda.memory_bytes),
        module=(module.name or "") if module.board else "",
    )
