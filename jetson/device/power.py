"""Power modes, by name: their ids differ from board to board."""

from __future__ import annotations

import re

import msgspec

from scanside.jetson.machine import Machine

CONFIGURATION = "/etc/nvpmodel.conf"
STATUS = "/var/lib/nvpmodel/status"
"""What nvpmodel wrote when it last changed the mode; read where it does not answer itself."""
QUERY_S = 8.0
_MODE = re.compile(r"^<\s*POWER_MODEL\s+ID=(\d{1,4})\s+NAME=(\S+)\s*>", re.MULTILINE)
_DEFAULT = re.compile(r"^<\s*PM_CONFIG\s+DEFAULT=(\d{1,4})\b", re.MULTILINE)
_CURRENT = re.compile(r"^NV Power Mode:\s*(\S+)", re.MULTILINE)
_STATUS = re.compile(r"pmode:\s*(\d{1,4})\b")


class PowerMode(msgspec.Struct, frozen=True):
    id: int
    name: str


class Power(msgspec.Struct, frozen=True, kw_only=True):
    """modes: as nvpmodel.conf lists them. default: the name of the one it boots with. current: the
    name, as nvpmodel tells it. from_status: that it did not, and its last word was taken.
    hung: nvpmodel did not answer in time. installed: there is a nvpmodel."""

    modes: tuple[PowerMode, ...] = ()
    default: str | None = None
    current: str | None = None
    from_status: bool = False
    hung: bool = False
    installed: bool = False

    def id_of(self, name: str) -> int | None:
        """The id of a mode's name on this device, or None."""
        return next((mode.id for mode in self.modes if mode.name == name), None)


def read_power(machine: Machine) -> Power:
    text = machine.read(CONFIGURATION) or ""
    modes = tuple(PowerMode(int(found[1]), found[2]) for found in _MODE.finditer(text))
    names = {mode.id: mode.name for mode in modes}
    default = _DEFAULT.search(text)
    ran = machine.run("nvpmodel", "-q", seconds=QUERY_S)
    found = _CURRENT.search(ran.out) if ran and ran.code == 0 else None
    current, from_status = (found[1] if found else None), False
    if current is None:
        status = _STATUS.search(machine.read(STATUS) or "")
        current = names.get(int(status[1])) if status else None
        from_status = current is not None
    return Power(
        modes=modes,
        default=names.get(int(default[1])) if default else None,
        current=current,
        from_status=from_status,
        hung=ran is not None and ran.code == -1,
        installed=ran is not None,
    )
