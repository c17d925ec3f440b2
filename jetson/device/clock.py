"""The time of day, and whether a server keeps it right."""

from __future__ import annotations

import re

import msgspec

from scanside.jetson.machine import Machine

_SECONDS = 8.0
_NUMBER = re.compile(r"\d{1,15}")
_LINE = re.compile(r"^(NTP|NTPSynchronized|Timezone)=(\S+)$", re.MULTILINE)


class TimeOfDay(msgspec.Struct, frozen=True, kw_only=True):
    """unix: seconds since 1970, by that machine's clock. service: a time service is on.
    synchronised: it has set the clock."""

    unix: int | None = None
    service: bool | None = None
    synchronised: bool | None = None
    zone: str | None = None


def read_time(machine: Machine) -> TimeOfDay:
    date = machine.run("date", "+%s", seconds=_SECONDS)
    words = date.out.strip() if date and date.code == 0 else ""
    ran = machine.run("timedatectl", "show", seconds=_SECONDS)
    told = dict(_LINE.findall(ran.out)) if ran and ran.code == 0 else {}

    def yes(name: str) -> bool | None:
        return {"yes": True, "no": False}.get(told.get(name, ""))

    return TimeOfDay(
        unix=int(words) if _NUMBER.fullmatch(words) else None,
        service=yes("NTP"),
        synchronised=yes("NTPSynchronized"),
        zone=told.get("Timezone"),
    )
