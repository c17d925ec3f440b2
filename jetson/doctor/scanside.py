"""What of Scanside is on the device, and what this page could not see."""

from __future__ import annotations

from collections.abc import Iterator

from scanside.jetson import layout
from scanside.jetson.doctor.verdict import Case, Check, Line

_PROVISION = "sudo scanside device provision, from the offline package"
_MOST_NAMED = 5


def check_scanside(case: Case) -> Iterator[Check]:
    yield _application(case)
    yield _store(case)
    yield _service(case)


def check_sight(case: Case) -> Iterator[Check]:
    line = Line("doctor.sight", "What could be read", "all of it")
    unread = case.device.unreadable
    if not unread:
        yield line.green("all that is there")
        return
    more = f" and {len(unread) - _MOST_NAMED} more" if len(unread) > _MOST_NAMED else ""
    yield line.yellow(
        ", ".join(unread[:_MOST_NAMED]) + more + " cannot be read",
        "run it again as root: sudo scanside device doctor; what stays is damaged",
    )


def _application(case: Case) -> Check:
    line = Line("scanside.application", "Application", f"a version at {layout.CURRENT}")
    found = case.device.appliance
    if found.version is None:
        return line.yellow("not installed", _PROVISION)
    if found.version not in found.versions:
        return line.red(
            f"{layout.CURRENT} points at {found.version}, which is not there", _PROVISION
        )
    return line.green(f"{found.version}, of {len(found.versions)} that are there")


def _store(case: Case) -> Check:
    line = Line("scanside.store", "Model in the store", "one is active")
    found = case.device.appliance
    if found.store_damaged:
        return line.red(
            f"{layout.STORE}/chosen.json is damaged",
            "move it away, then: sudo scanside device install FILE",
        )
    if any(name.startswith(layout.STORE) for name in case.device.unreadable):
        return line.yellow("cannot be read", "run it again as root")
    if found.chosen is None:
        return line.yellow("nothing is installed", "sudo scanside device install FILE")
    if found.chosen.active is None:
        return line.yellow("none is active", "sudo scanside device install FILE")
    if found.lost:
        return line.red(
            f"{found.chosen.active[:12]} is active, and its bundle is gone",
            "sudo scanside device rollback, or: sudo scanside device install FILE",
        )
    names = ", ".join(f"{name} serial {n}" for name, n in sorted(found.chosen.serials.items()))
    return line.green(f"{found.chosen.active[:12]} ({names})")


def _service(case: Case) -> Check:
    line = Line("scanside.service", layout.UNIT, "active")
    found = case.device.appliance
    if not found.unit:
        if found.version is None:
            return line.not_judged("made by provision, which has not run yet")
        return line.red("there is no such unit", _PROVISION)
    if found.active == "active":
        return line.green("active")
    step = f"sudo systemctl start {layout.UNIT}; journalctl -u {layout.UNIT}"
    if found.active == "failed":
        return line.red("it failed", step)
    return line.yellow(found.active or "systemctl does not answer", step)
