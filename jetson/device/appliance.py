"""What of Scanside itself lies on a device: the application, the unit, the store's choice."""

from __future__ import annotations

import os

import msgspec

from scanside.jetson import layout
from scanside.jetson.machine import Machine
from scanside.runtime.store import Chosen

_CHOSEN = f"{layout.STORE}/chosen.json"


class Appliance(msgspec.Struct, frozen=True, kw_only=True):
    """version: of the application that `current` points at; versions: all that are there. unit:
    the unit's file is there. active: what systemd says of it. chosen: the store's own, None where
    there is no store yet or it cannot be read; store_damaged: it is there, and is none; lost: the
    bundle that it chose is not among those that it holds."""

    version: str | None = None
    versions: tuple[str, ...] = ()
    unit: bool = False
    active: str | None = None
    chosen: Chosen | None = None
    store_damaged: bool = False
    lost: bool = False


def read_appliance(machine: Machine) -> Appliance:
    try:
        version = os.readlink(machine.path(layout.CURRENT)).rpartition("/")[2]
    except OSError:
        version = ""
    unit = machine.has(f"{layout.UNITS}/{layout.UNIT}")
    ran = machine.run("systemctl", "is-active", layout.UNIT, seconds=8.0) if unit else None
    text = machine.read(_CHOSEN)
    chosen, damaged = None, False
    if text is not None:
        try:
            chosen = msgspec.json.decode(text, type=Chosen)
        except (msgspec.DecodeError, ValueError):
            damaged = True
    active = chosen.active if chosen else None
    return Appliance(
        version=version or None,
        versions=tuple(machine.list(layout.VERSIONS)),
        unit=unit,
        active=ran.out.strip() or None if ran else None,
        chosen=chosen,
        store_damaged=damaged,
        lost=active is not None and active not in machine.list(f"{layout.STORE}/bundles"),
    )
