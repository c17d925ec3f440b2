"""Temperatures, what throttles, and the fan: from /sys, which needs no root and no tool."""

from __future__ import annotations

import msgspec

from scanside.jetson.machine import Machine

_THERMAL = "/sys/class/thermal"
_HWMON = "/sys/class/hwmon"
_LIMITS = ("passive", "hot", "critical")
_COLDEST, _HOTTEST = -60.0, 200.0


class Zone(msgspec.Struct, frozen=True, kw_only=True):
    """celsius: None where the sensor is switched off. passive: where the device slows itself down,
    critical: the lowest where it stops."""

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
    """throttling: cooling devices that slow something down now. over_current: how often that was
    since the start, over all rails."""

    zones: tuple[Zone, ...] = ()
    throttling: tuple[str, ...] = ()
    over_current: int | None = None
    fans: tuple[Fan, ...] = ()

    @property
    def hottest(self) -> Zone | None:
        known = [zone for zone in self.zones if zone.celsius is not None]
        return max(known, key=lambda zone: zone.celsius or _COLDEST, default=None)


def read_thermal(machine: Machine) -> Thermal:
    names = machine.list(_THERMAL)
    zones = [_zone(machine, f"{_THERMAL}/{name}") for name in names if "thermal_zone" in name]
    throttling = [
        kind
        for name in names
        if name.startswith("cooling_device")
        and "throttle-alert" in (kind := machine.read(f"{_THERMAL}/{name}/type") or "").lower()
        and (_number(machine, f"{_THERMAL}/{name}/cur_state") or 0) > 0
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
        throttling=tuple(throttling),
        over_current=sum(counts) if counts else None,
        fans=_fans(machine),
    )


def _zone(machine: Machine, folder: str) -> Zone | None:
    name = machine.read(f"{folder}/type")
    if not name:
        return None
    trips: dict[str, list[float]] = {kind: [] for kind in _LIMITS}
    for file in machine.list(folder):
        if file.startswith("trip_point_") and file.endswith("_type"):
            kind = machine.read(f"{folder}/{file}")
            at = _number(machine, f"{folder}/{file[:-5]}_temp")
            if kind in trips and at is not None and at > 0:
                trips[kind].append(at / 1000)
    return Zone(
        name=name,
        celsius=_celsius(_number(machine, f"{folder}/temp")),
        passive=min(trips["passive"], default=None),
        critical=min(trips["hot"] + trips["critical"], default=None),
    )


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
