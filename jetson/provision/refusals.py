"""Devices that are not touched: by the doctor's own checks, so that both say the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scanside.jetson.doctor.body import check_room
from scanside.jetson.doctor.gpu import check_gpu
from scanside.jetson.doctor.platform import check_platform
from scanside.jetson.doctor.verdict import Case, Check, Verdict
from scanside.runtime.errors import DeviceError

if TYPE_CHECKING:
    from scanside.jetson.package import Package

REFUSING = frozenset(
    {
        "module.known",
        "release.supported",
        "release.for_module",
        "packages.one_version",
        "memory.total",
        "memory.available",
        "disk.room",
        "disk.writable",
        "access.groups",
    }
)
"""Checks that stop provision where they are red. The others concern what it is about to set right,
or what a person must look at: the doctor's page shows them."""


def refuse(case: Case, package: Package | None, *, dry_run: bool = False) -> None:
    """Raises DeviceError for whoever is not root (but for a dry run), for a device with a red check
    of REFUSING, and for another JetPack's package."""
    if os.geteuid() != 0 and not dry_run:
        raise DeviceError("only root may provision a device", next_step="run it again with sudo")
    for check in _checks(case):
        if check.name in REFUSING and check.verdict is Verdict.RED:
            raise DeviceError(f"{check.title}: {check.found}", next_step=check.next_step)
    if package and case.release and package.jetpack != case.release.jetpack:
        raise DeviceError(
            f"the package is for JetPack {package.jetpack}, this device has {case.release.jetpack}",
            next_step=f"take the package scanside-{package.version}-jp{case.release.jetpack}",
        )


def _checks(case: Case) -> Iterator[Check]:
    yield from check_platform(case)
    yield from check_room(case)
    yield from check_gpu(case)
