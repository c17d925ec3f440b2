"""Is this PC one that NVIDIA's flash tools run on."""

from __future__ import annotations

import os
from collections.abc import Iterator

from scanside.jetson.device.release import read_release
from scanside.jetson.flash.templates import host_of
from scanside.jetson.flash.verdicts import Found, note, ok, refused
from scanside.jetson.machine import Machine

_INSTALL = "sudo tools/l4t_flash_prerequisites.sh, in the BSP tree"


def look_at_host(machine: Machine, release: str) -> Iterator[Found]:
    row = host_of(release)
    ran = machine.run("uname", "-m")
    if ran is None or ran.out.strip() != "x86_64":
        yield refused("PC", "it is no x86_64", "NVIDIA's flash tools are made for x86_64")
    wanted = f"Ubuntu {' or '.join(row.ubuntu)}"
    system = read_release(machine)
    named = system.distribution or "unknown"
    if not named.startswith("Ubuntu"):
        yield refused("PC", f"it runs {named}", f"flash L4T {release} from {wanted}")
    elif system.version in row.ubuntu:
        yield ok("PC", named)
    else:  # which ones NVIDIA allows was not settled for each release
        yield note("PC", f"{named}; L4T {release} is flashed from {wanted}")
    missing = [name for name in row.packages if not _installed(machine, name)]
    if missing and "packages" in row.uncertain:  # a guess must not stand in the way for ever
        yield note(
            "packages of the PC",
            f"not installed: {', '.join(missing)}; what L4T {release} needs is uncertain",
            _INSTALL,
        )
    elif missing:
        yield refused("packages of the PC", f"not installed: {', '.join(missing)}", _INSTALL)
    else:
        yield ok("packages of the PC", f"{len(row.packages)} are installed")
    if machine.is_this and os.geteuid() != 0:
        yield refused("rights", "flashing and reading the EEPROM need root", "sudo scanside flash")


def _installed(machine: Machine, package: str) -> bool:
    ran = machine.run("dpkg-query", "-W", "-f", "${Status}", package)
    return ran is not None and ran.code == 0 and ran.out.strip() == "install ok installed"
