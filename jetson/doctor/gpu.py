"""CUDA, the device nodes behind it, and who may open them."""

from __future__ import annotations

from collections.abc import Iterator

from scanside.jetson import layout
from scanside.jetson.device.nodes import GROUPS
from scanside.jetson.doctor.verdict import Case, Check, Line, softened
from scanside.runtime.platforms import dotted, families, modules

# The GPU's firmware may stay damaged over a restart.
_RESTART = "switch the device off and on again, then look into `dmesg` for nvgpu or NVRM"
_CODES = {
    34: "this is the stub of the CUDA toolkit: take its folder off the library path",
    100: "the driver sees no GPU: " + _RESTART,
    801: "see that /dev/dri/renderD* is there, and that whoever asks is in the groups render and "
    "video",
    803: "the driver is older than its libraries: see that L4T is of one version",
}


def check_gpu(case: Case) -> Iterator[Check]:
    yield _cuda(case)
    yield _capability(case)
    yield _nodes(case)
    yield _groups(case)
    yield _user(case)


def _cuda(case: Case) -> Check:
    wanted = case.release.cuda if case.release else ""
    line = Line("cuda.driver", "CUDA answers", f"CUDA {wanted}" if wanted else "with one GPU")
    found = case.device.python.cuda
    if found.code is None:
        return line.red(
            f"no driver: {found.error}",
            "on a Jetson: sudo apt install --reinstall nvidia-l4t-cuda; then " + _RESTART,
        )
    if found.code or not found.count:
        words = f"cuInit answers {found.code}" if found.code else "the driver sees no GPU"
        return line.red(words, _CODES.get(found.code or 100, _RESTART))
    words = f"CUDA {found.version}, {found.gpu}"
    if wanted and dotted(found.version or "")[:2] != dotted(wanted)[:2]:
        return line.yellow(words, "see that the driver and the libraries are of one JetPack")
    return line.green(words)


def _capability(case: Case) -> Check:
    name, title = "cuda.capability", "Compute capability"
    found = case.device.python.cuda
    if case.module is None or not found.count:
        return Line(name, title).not_judged("the module is not known, or CUDA does not answer")
    line = Line(name, title, case.module.compute_capability)
    if found.capability == case.module.compute_capability:
        return line.green(found.capability)
    return line.red(
        found.capability, "this GPU is not the module's: compare the module's label with its EEPROM"
    )


def _nodes(case: Case) -> Check:
    name, title = "access.nodes", "Device nodes of the GPU"
    kinds = {modules()[one].family for one in case.device.module.candidates}
    family = families()[kinds.pop()] if len(kinds) == 1 else None
    if family is None or not family.nodes:
        return Line(name, title).not_judged("the module is not known or supported")
    line = Line(name, title, ", ".join(family.nodes))
    missing = [one for one in family.nodes if not case.device.access.matching(one)]
    if not missing:
        return line.green(f"{len(case.device.access.nodes)} nodes")
    return line.judged(
        softened("nodes" in family.uncertain),
        f"missing: {', '.join(missing)}",
        "without them CUDA does not start: " + _RESTART,
    )


def _groups(case: Case) -> Check:
    line = Line("access.groups", "Groups of the GPU", " and ".join(GROUPS))
    groups = case.device.access.groups
    if groups is None:
        return line.yellow("/etc/group cannot be read", "see that it is there and readable to all")
    missing = [one for one in GROUPS if one not in groups]
    if not missing:
        return line.green("both are there")
    return line.red(
        f"missing: {', '.join(missing)}",
        "; ".join(f"sudo groupadd --system {one}" for one in missing)
        + "; then restart, so that the nodes are given to them",
    )


def _user(case: Case) -> Check:
    line = Line("access.user", f"User {layout.USER}", f"in {' and '.join(GROUPS)}")
    access = case.device.access
    if access.users is None or access.groups is None:
        return line.not_judged("users or groups cannot be read")
    there = layout.USER in access.users
    if not there and case.device.appliance.version is None:
        return line.not_judged("made by provision, which has not run yet")
    if not there:
        return line.red("there is no such user", "sudo scanside device provision")
    outside = [one for one in GROUPS if not access.belongs(layout.USER, one)]
    if not outside:
        return line.green(line.expected)
    return line.red(f"not in {' and '.join(outside)}", "sudo scanside device provision")
