"""The service's units, and which device nodes it may open: this device's own."""

from __future__ import annotations

import fnmatch
import re
import stat
from importlib.resources import files

from scanside.jetson.application import CHECK_UNIT
from scanside.jetson.device.nodes import DEVICES_CSV, PATTERNS, find_nodes
from scanside.jetson.doctor.verdict import Case
from scanside.jetson.layout import DEVICES_DROP_IN, UNIT, UNITS
from scanside.jetson.machine import Machine
from scanside.jetson.provision.accounts import tell
from scanside.jetson.provision.places import Place, file_step
from scanside.jetson.steps import Step
from scanside.runtime.errors import DeviceError
from scanside.runtime.platforms import Family, families, modules

GPU_UNIT = "scanside-gpu.service"
NODES_DROP_IN = f"{UNITS}/{GPU_UNIT}.d/nodes.conf"
_PATH = re.compile(r"/dev/[A-Za-z0-9_+:.,@-]+(/[A-Za-z0-9_+:.,@-]+)*\Z")


def unit_steps(machine: Machine, case: Case) -> list[Step]:
    """The units and their drop-ins. Raises DeviceError where the GPU's nodes are missing."""
    nodes = allowed_nodes(machine, case)
    family = family_of(case)
    awaited = [p for p in (family.nodes if family else ()) if fnmatch.filter(nodes, p)]
    return [
        _unit(machine, UNIT),
        _unit(machine, GPU_UNIT),
        file_step(
            machine,
            Place(DEVICES_DROP_IN, 0o644),
            devices_drop_in(nodes),
            f"{UNIT} may open {len(nodes)} device nodes",
        ),
        file_step(
            machine,
            Place(NODES_DROP_IN, 0o644),
            f'# Made by provision.\n[Service]\nEnvironment="NODES={" ".join(awaited)}"\n',
            f"{GPU_UNIT} waits for {len(awaited)} of them",
        ),
    ]


def enable_steps(machine: Machine) -> list[Step]:
    return [
        Step("systemd has read the units", lambda: _stale(machine), lambda: _reload(machine)),
        Step(
            f"{UNIT} starts with the device",
            lambda: _not_enabled(machine),
            lambda: tell(machine, "systemctl", "enable", UNIT),
        ),
    ]


def allowed_nodes(machine: Machine, case: Case) -> list[str]:
    """Nodes that NVIDIA's own list for containers names, and those that CUDA is known to open and
    that are there; no disks.

    Raises DeviceError where they lack one that the module's family cannot do without.
    """
    listed = case.device.access.in_csv
    found = {*listed, *find_nodes(machine, PATTERNS)}
    nodes = sorted(one for one in found if _PATH.match(one) and not _is_other(machine, one))
    family = family_of(case)
    needed = family.nodes if family and "nodes" not in family.uncertain else ()
    missing = [pattern for pattern in needed if not fnmatch.filter(nodes, pattern)]
    if missing:
        raise DeviceError(
            f"device nodes are missing: {', '.join(missing)}",
            next_step="without them CUDA does not start: restart the device, look into `dmesg`",
        )
    if not nodes:
        raise DeviceError(
            f"neither {DEVICES_CSV} nor /dev names a device node of a GPU",
            next_step="see `scanside device doctor`",
        )
    return nodes


def devices_drop_in(nodes: list[str]) -> str:
    lines = [f"DeviceAllow={node} rw" for node in nodes]
    return "\n".join(
        [
            "# Made by `scanside device provision` on this device, from",
            f"# {DEVICES_CSV}",
            "# and the nodes in /dev; run it again after JetPack was updated.",
            "[Service]",
            *lines,
            "",
        ]
    )


def family_of(case: Case) -> Family | None:
    """Of the module, or of all the modules that it may be."""
    names = {modules()[one].family for one in case.device.module.candidates}
    return families()[names.pop()] if len(names) == 1 else None


def _is_other(machine: Machine, node: str) -> bool:
    """Whether it is a block device: a disk, which no GPU needs. What is not there may come."""
    try:
        return stat.S_ISBLK(machine.path(node).stat().st_mode) or ".." in node.split("/")
    except OSError:
        return ".." in node.split("/")


def _unit(machine: Machine, name: str) -> Step:
    text = (files("scanside.jetson") / "systemd" / name).read_text()
    return file_step(machine, Place(f"{UNITS}/{name}", 0o644), text, f"unit {name}")


def _stale(machine: Machine) -> str | None:
    show = ("systemctl", "show", "--property=NeedDaemonReload", "--value")
    ran = machine.run(*show, UNIT, GPU_UNIT, CHECK_UNIT)
    if ran is None or ran.code:
        return None  # no systemd runs here, an image that is mounted, say
    return "systemctl daemon-reload" if "yes" in ran.out.split() else None


def _reload(machine: Machine) -> None:
    tell(machine, "systemctl", "daemon-reload")


def _not_enabled(machine: Machine) -> str | None:
    ran = machine.run("systemctl", "is-enabled", UNIT)
    return None if ran and ran.out.strip() == "enabled" else "systemctl enable"
