"""Device nodes of the GPU, and the groups and users that may open them."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Mapping

import msgspec

from scanside.jetson.machine import Machine

PATTERNS = (
    "/dev/nvmap",
    "/dev/nvhost-*",
    "/dev/nvgpu/igpu0/*",
    "/dev/dri/renderD*",
    "/dev/host1x-fence",
    "/dev/nvidia0",
    "/dev/nvidiactl",
    "/dev/nvsciipc",
)
GROUPS = ("render", "video")
_NUMBER = re.compile(r"\d{1,15}")
DEVICES_CSV = "/etc/nvidia-container-runtime/host-files-for-container.d/devices.csv"


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """nodes: those of PATTERNS that are there, with the name or number of the group of each.
    groups: of the system, name -> members by name. users: name -> number of its main group.
    in_csv: what NVIDIA's container runtime lists as nodes of this device."""

    nodes: Mapping[str, str] = {}
    groups: Mapping[str, tuple[str, ...]] | None = None
    users: Mapping[str, int] | None = None
    group_ids: Mapping[str, int] = {}
    in_csv: tuple[str, ...] = ()

    def matching(self, pattern: str) -> tuple[str, ...]:
        return tuple(node for node in self.nodes if fnmatch.fnmatchcase(node, pattern))

    def belongs(self, user: str, group: str) -> bool | None:
        """Whether a user is in a group; None where users or groups cannot be read."""
        if self.groups is None or self.users is None:
            return None
        main = self.users.get(user)
        return user in self.groups.get(group, ()) or (
            main is not None and main == self.group_ids.get(group)
        )


def read_access(machine: Machine) -> Access:
    groups = _lines(machine, "/etc/group")
    users = _lines(machine, "/etc/passwd")
    names = {int(words[2]): words[0] for words in groups or () if _NUMBER.fullmatch(words[2])}
    return Access(
        nodes={node: _group(machine, node, names) for node in find_nodes(machine, PATTERNS)},
        groups=None
        if groups is None
        else {words[0]: tuple(filter(None, words[3].split(","))) for words in groups},
        users=None
        if users is None
        else {words[0]: int(words[3]) for words in users if _NUMBER.fullmatch(words[3])},
        group_ids={name: number for number, name in names.items()},
        in_csv=_csv(machine),
    )


def find_nodes(machine: Machine, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Nodes that fit one of the patterns; only the last part of a pattern may hold a *."""
    found: dict[str, None] = {}
    for pattern in patterns:
        folder, _, last = pattern.rpartition("/")
        for name in fnmatch.filter(machine.list(folder), last):
            found[f"{folder}/{name}"] = None
    return tuple(found)


def _csv(machine: Machine) -> tuple[str, ...]:
    lines = (machine.read(DEVICES_CSV) or "").splitlines()
    pairs = (line.partition(",") for line in lines if not line.lstrip().startswith("#"))
    return tuple(path.strip() for kind, _, path in pairs if kind.strip() == "dev" and path.strip())


def _group(machine: Machine, node: str, names: Mapping[int, str]) -> str:
    try:
        number = os.stat(machine.path(node)).st_gid
    except OSError:
        return ""
    return names.get(number, str(number))


def _lines(machine: Machine, name: str) -> list[list[str]] | None:
    text = machine.read(name)
    if text is None:
        return None
    return [words for line in text.splitlines() if len(words := line.split(":")) > 3]
