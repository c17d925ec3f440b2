"""All checks on one device, as one page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from scanside.jetson.device import read_device
from scanside.jetson.doctor.body import check_power, check_room, check_time
from scanside.jetson.doctor.bundle import check_bundle, open_bundle
from scanside.jetson.doctor.gpu import check_gpu
from scanside.jetson.doctor.libraries import check_libraries
from scanside.jetson.doctor.platform import case_of, check_platform
from scanside.jetson.doctor.scanside import check_scanside, check_sight
from scanside.jetson.doctor.verdict import Case, Check, Page
from scanside.jetson.machine import Machine


def examine(machine: Machine, bundle: Path | None = None) -> Page:
    """Look at everything; changes nothing. bundle: a file, to see whether it is for this device."""
    case = case_of(read_device(machine))
    return Page(
        time=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        scanside=version("scanside"),
        asked_as="root" if os.geteuid() == 0 else "another user than root",
        target=case.target,
        model=case.device.module.model,
        serial=case.device.module.serial,
        l4t=case.device.release.l4t,
        checks=tuple(_checks(machine, case, bundle)),
    )


def _checks(machine: Machine, case: Case, file: Path | None) -> Iterator[Check]:
    bundle, opened = open_bundle(machine, file) if file else (None, None)
    yield from check_platform(case)
    yield from check_libraries(case)
    yield from check_gpu(case)
    yield from check_power(case)
    yield from check_room(case, bundle.manifest.memory_budget_mb if bundle else 0)
    yield from check_time(case)
    yield from check_scanside(case)
    if opened:
        yield opened
    if bundle:
        yield from check_bundle(case, bundle)
    yield from check_sight(case)
