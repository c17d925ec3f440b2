"""Which Jetsons are in recovery mode at this PC's USB ports, by sysfs alone: nothing is asked."""

from __future__ import annotations

import re

import msgspec

from scanside.jetson.flash.profile import Profile
from scanside.jetson.flash.verdicts import Found, note, ok, refused
from scanside.jetson.machine import Machine
from scanside.runtime.platforms import modules_of_usb

DEVICES = "/sys/bus/usb/devices"
NVIDIA = "0955"
_RECOVERY = re.compile(r"7[0-9a-f](?:18|19|21|23|26)")
_INSTANCE = re.compile(r"\d{1,3}-\d{1,3}(?:\.\d{1,3}){0,6}")
_ANEW = "hold Force Recovery while you power it on, cable in the recovery port"


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """instance: bus and port, as 3-9. identity: as 0955:7323. modules: that show themselves so.
    session: number of this connection, another each time that the device comes back."""

    instance: str
    identity: str
    modules: tuple[str, ...]
    serial: str
    session: str


def recovery_devices(machine: Machine) -> list[Recovery]:
    found = []
    for name in machine.list(DEVICES):
        if not _INSTANCE.fullmatch(name):
            continue  # a hub of the board, or an interface
        told = {
            what: machine.read(f"{DEVICES}/{name}/{what}") or ""
            for what in ("idVendor", "idProduct", "serial", "devnum")
        }
        identity = f"{told['idVendor']}:{told['idProduct']}".lower()
        modules = tuple(module.name for module in modules_of_usb(identity))
        vendor, product = identity.split(":", 1)
        if vendor == NVIDIA and (modules or _RECOVERY.fullmatch(product)):
            serial = "".join(c for c in told["serial"] if c.isalnum())[:64]
            found.append(
                Recovery(
                    instance=name,
                    identity=identity,
                    modules=modules,
                    serial=serial,
                    session=told["devnum"],
                )
            )
    return found


def choose(
    devices: list[Recovery], profile: Profile, instance: str | None
) -> tuple[Recovery | None, Found]:
    """The one device that is meant, and whether it may be the profile's."""
    what, shown = (
        "recovery device",
        ", ".join(f"{one.instance} ({one.identity})" for one in devices),
    )
    if not devices:
        return None, refused(what, "no Jetson is in recovery mode", _ANEW)
    if instance is None and len(devices) > 1:
        return None, refused(
            what, f"{len(devices)} are in recovery mode: {shown}", "name one with --usb-instance"
        )
    named = [one for one in devices if instance is None or one.instance == instance]
    if not named:
        return None, refused(what, f"none at {instance}; there is {shown}", "name one of those")
    one = named[0]
    if profile.module not in one.modules:
        said = " or ".join(one.modules) or "no module that is known here"
        return None, refused(
            what,
            f"{one.instance} is {one.identity}, {said}; the profile is for {profile.module}",
            "is it the right device, and the right profile?",
        )
    text = f"{one.instance} is {one.identity}, as {profile.module} is"
    others = [other for other in one.modules if other != profile.module]
    if others:
        return one, note(what, f"{text} and {' and '.join(others)}: its EEPROM tells which")
    return one, ok(what, text)
