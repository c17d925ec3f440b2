"""Temperatures, what throttles, and the fan: from /sys, which needs no root and no tool."""

from __future__ import annotations

import msgspec

from scanside.jetson.machine import Machine

_THERMAL = "/sys/class/thermal"
_HWMON = "/sys/class/hwmon"
# What slows the clocks, or tells of it. Orin has a passive trip at 70 °C that only warns of a hot
# surface, and slows nothing.
_SLOWING = ("throttle-alert", "cpufreq-", "devfreq-")
_COLDEST, _HOTTEST = -60.0, 200.0


class Zone(msgspec.Struct, frozen=True, kw_only=True):
    """celsius: None where the sensor is switched off. passive: the lowest where the device slows
    itself down, critical: where it stops."""

    name: str
    celsius: float | None = None
    passive: float | None = None
    critical: float | None = None


class Fan(msgspec.Struct, frozen=True, kw_only=True):
    """pwm: 0 to 255. rpm: None without a tachometer."""

    name: str
    pwm: int | None = None
    rpm: int | None = None


class Thermal(msgspec.Struct, frozen=True, kw_only=True):
    """throttling: cooling devices that slow something down now; watched: how many would tell.
    over_current: how often that was since the start, over all rails."""

    zones: tuple[Zone, ...] = ()
    throttling: tuple[str, ...] = ()
    watched: int = 0
    over_current: int | None = None
    fans: tuple[Fan, ...] = ()

    @property
    def hottest(self) -> Zone | None:
        known = [zone for zone in self.zones if zone.celsius is not None]
        return max(known, key=lambda zone: zone.celsius or _COLDEST, default=None)


def read_thermal(machine: Machine) -> Thermal:
    names = machine.list(_THERMAL)
    zones = [_zone(machine, f"{_THERMAL}/{name}") for name in names if "thermal_zone" in name]
    states = [
        (kind, state)
        for name in names
        if name.startswith("cooling_device")
        and _slows(kind := machine.read(f"{_THERMAL}/{name}/type") or "")
        and (state := _number(machine, f"{_THERMAL}/{name}/cur_state")) is not None
    ]
    counts = [
        count
        for name in machine.list(_HWMON)
        for file in machine.list(f"{_HWMON}/{name}")
        if file.startswith("oc") and file.endswith("_event_cnt")
        and (count := _number(machine, f"{_HWMON}/{name}/{file}")) is not None
    ]  # fmt: skip
    return Thermal(
        zones=tuple(zone for zone in zones if zone),
        throttling=tuple(kind for kind, state in states if state > 0),
        watched=len(states),
        over_current=sum(counts) if counts else None,
        fans=_fans(machine),
    )


def _zone(machine: Machine, folder: str) -> Zone | None:
    name = machine.read(f"{folder}/type")
    if not name:
        return None
    trips: dict[str, list[float]] = {"passive": [], "critical": []}
    files = machine.list(folder)
    bound = _bound(machine, folder, files)
    for file in files:
        if file.startswith("trip_point_") and file.endswith("_type"):
            kind = machine.read(f"{folder}/{file}")
            at = _number(machine, f"{folder}/{file[:-5]}_temp")
            cooled_by = bound.get(file[len("trip_point_") : -len("_type")], [])
            if kind == "passive" and cooled_by and not any(map(_slows, cooled_by)):
                continue
            if kind in trips and at is not None and at > 0:
                trips[kind].append(at / 1000)
    return Zone(
        name=name,
        celsius=_celsius(_number(machine, f"{folder}/temp")),
        passive=min(trips["passive"], default=None),
        critical=min(trips["critical"], default=None),
    )


def _bound(machine: Machine, folder: str, files: list[str]) -> dict[str, list[str]]:
    """A trip's number -> kinds of the cooling devices that are bound to it."""
    bound: dict[str, list[str]] = {}
    for file in files:
        device, _, rest = file.partition("_")
        if device.startswith("cdev") and rest == "trip_point":
            kind = machine.read(f"{folder}/{device}/type") or ""
            bound.setdefault(machine.read(f"{folder}/{file}") or "", []).append(kind)
    return bound


def _slows(kind: str) -> bool:
    return any(word in kind.lower() for word in _SLOWING)


def _fans(machine: Machine) -> tuple[Fan, ...]:
    """The fan's pwm and its tachometer are two devices on Orin, one elsewhere."""
    pwm = rpm = name = None
    for folder in (f"{_HWMON}/{one}" for one in machine.list(_HWMON)):
        kind = machine.read(f"{folder}/name") or ""
        if "pwm" not in kind and "fan" not in kind:
            continue
        name = name or kind
        pwm = _number(machine, f"{folder}/pwm1") if pwm is None else pwm
        for file in ("fan1_input", "rpm"):
            rpm = _number(machine, f"{folder}/{file}") if rpm is None else rpm
    return (Fan(name=name, pwm=pwm, rpm=rpm),) if name else ()


def _celsius(millidegrees: int | None) -> float | None:
    if millidegrees is None or not _COLDEST < millidegrees / 1000 < _HOTTEST:
        return None
    return millidegrees / 1000


def _number(machine: Machine, name: str) -> int | None:
    try:
        return int(machine.read(name) or "")
    except ValueError:
        return None
