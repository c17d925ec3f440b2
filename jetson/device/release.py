"""Which L4T and which Ubuntu a device runs."""

from __future__ import annotations

import re

import msgspec

from scanside.jetson.machine import Machine
from scanside.runtime.fingerprint import l4t_of_file, l4t_of_package

_PRETTY = re.compile(r'^PRETTY_NAME="?([^"\n]*)"?', re.MULTILINE)
_VERSION = re.compile(r'^VERSION_ID="?([^"\n]*)"?', re.MULTILINE)


class SystemRelease(msgspec.Struct, frozen=True, kw_only=True):
    """l4t: as 36.4.3; source: what told it. distribution: as people call it; version: as 22.04."""

    l4t: str | None = None
    source: str | None = None
    distribution: str | None = None
    version: str | None = None


def read_release(machine: Machine) -> SystemRelease:
    l4t, source = l4t_of_file(machine.read("/etc/nv_tegra_release") or ""), "/etc/nv_tegra_release"
    if not l4t:
        ran = machine.run("dpkg-query", "-W", "-f", "${Version}", "nvidia-l4t-core")
        l4t = l4t_of_package(ran.out) if ran and ran.code == 0 else ""
        source = "the package nvidia-l4t-core"
    text = machine.read("/etc/os-release") or ""
    return SystemRelease(
        l4t=l4t or None,
        source=source if l4t else None,
        distribution=_first(_PRETTY, text),
        version=_first(_VERSION, text),
    )


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found and found[1] else None
