"""A Jetson's power mode, clocks, temperature and throttling before, during and after a run.

Read by the same readers as `scanside device doctor` uses; empty on any other machine. Not verified
on hardware.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from scanside.benchmarks.evidence.paired import BLOCKS
from scanside.benchmarks.evidence.record import Figure
from scanside.jetson.device.clocks import Clock, read_clocks
from scanside.jetson.device.power import read_power
from scanside.jetson.device.tegrastats import read_tegrastats
from scanside.jetson.device.thermal import read_thermal
from scanside.jetson.device.watching import Watching
from scanside.jetson.machine import Machine

NOT_VERIFIED = "not verified on hardware"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """At one moment. MHz: of the GPU and of the fastest CPU, and the most that the power mode
    allows them. celsius: of the hottest zone, named by `zone`. throttling: what slows something
    down now. over_current: how often so far. mode, milliwatts by rail: told by tools, only before
    and after a run."""

    gpu_mhz: float | None = None
    gpu_most: float | None = None
    cpu_mhz: float | None = None
    cpu_most: float | None = None
    celsius: float | None = None
    zone: str = ""
    throttling: tuple[str, ...] = ()
    over_current: int | None = None
    mode: str = ""
    milliwatts: dict[str, int] = {}


class DeviceWatch:
    """Sampled between the rounds of a run: `before`, any number of `during`, `after`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = Watching(machine.root)
        self.there = bool(read_clocks(self._machine).gpu) or self._machine.has("/etc/nvpmodel.conf")
        self.before = self.after = Sample()
        self.blocks: list[Sample] = []

    def start(self) -> None:
        if self.there:
            self.before = self._whole()

    def during(self) -> None:
        """A few files of /sys: no tool is started while a run goes on."""
        if self.there:
            self.blocks.append(sample(self._machine))

    def stop(self) -> None:
        if self.there:
            self.after = self._whole()

    def _whole(self) -> Sample:
        stats = read_tegrastats(self._machine)
        return msgspec.structs.replace(
            sample(self._machine),
            mode=_mode(self._machine),
            milliwatts=dict(stats.milliwatts) if stats else {},
        )

    @property
    def throttled(self) -> bool:
        """Whether anything slowed the device down at any moment that was looked at."""
        seen = [self.before, *self.blocks, self.after]
        return any(one.throttling for one in seen) or self._tripped > 0

    @property
    def _tripped(self) -> int:
        first, last = self.before.over_current, self.after.over_current
        return last - first if first is not None and last is not None else 0

    def words(self) -> dict[str, str]:
        """For `Machine.power` of a record; empty where this is no Jetson."""
        if not self.there:
            return {}
        seen = [self.before, *self.blocks, self.after]
        mode = self.before.mode or "not told"
        if self.after.mode != self.before.mode:
            mode += f", {self.after.mode or 'not told'} after"
        return {
            "power mode": mode,
            "GPU clock": _span("MHz", (s.gpu_mhz for s in seen), self.before.gpu_most),
            "CPU clock": _span("MHz", (s.cpu_mhz for s in seen), self.before.cpu_most),
            "temperature": _span("°C", (s.celsius for s in seen))
            + (f" ({self.after.zone})" if self.after.zone else ""),
            "throttling": ", ".join(sorted({kind for s in seen for kind in s.throttling}))
            or "none seen",
            "over-current events": str(self._tripped)
            if self.after.over_current is not None
            else "not told",
            "power": _rails(self.before) + " before, " + _rails(self.after) + " after",
            "refused": ", ".join(sorted(self._machine.refused)) or "nothing",
            "standing": NOT_VERIFIED,
        }

    def figures(self) -> list[Figure]:
        """What the run went through, block by block; never judged."""
        if not self.there:
            return []
        of = {"device": "Jetson"}
        series: tuple[tuple[str, str, list[float | None]], ...] = (
            ("GPU clock", "MHz", [one.gpu_mhz for one in self.blocks]),
            ("CPU clock", "MHz", [one.cpu_mhz for one in self.blocks]),
            ("hottest zone", "°C", [one.celsius for one in self.blocks]),
            ("throttling devices", "count", [float(len(one.throttling)) for one in self.blocks]),
        )
        return [
            Figure(
                metric=metric,
                unit=unit,
                of=of,
                value=float(np.median(known)),
                better="neither",
                rounds=[float(np.median(part)) for part in _parts(known)],
            )
            for metric, unit, found in series
            if (known := [one for one in found if one is not None])
        ]


def sample(machine: Machine) -> Sample:
    """Of the files of /sys alone."""
    clocks, thermal = read_clocks(machine), read_thermal(machine)
    gpu, cpu = _fastest(clocks.gpu), _fastest(clocks.cpu)
    hottest = thermal.hottest
    return Sample(
        gpu_mhz=gpu.now if gpu else None,
        gpu_most=gpu.most if gpu else None,
        cpu_mhz=cpu.now if cpu else None,
        cpu_most=cpu.most if cpu else None,
        celsius=hottest.celsius if hottest else None,
        zone=hottest.name if hottest else "",
        throttling=thermal.throttling,
        over_current=thermal.over_current,
    )


def _mode(machine: Machine) -> str:
    power = read_power(machine)
    if power.current is None:
        return "nvpmodel did not answer" if power.hung else ""
    return power.current + (", as it was last set" if power.from_status else "")


def _fastest(clocks: tuple[Clock, ...]) -> Clock | None:
    return max(clocks, key=lambda clock: clock.now or 0.0, default=None)


def _span(unit: str, found: Iterable[float | None], most: float | None = None) -> str:
    known = [one for one in found if one is not None]
    if not known:
        return "not told"
    low, high = min(known), max(known)
    words = f"{low:g} {unit}" if low == high else f"{low:g} to {high:g} {unit}"
    return words + (f" of {most:g}" if most is not None else "")


def _rails(one: Sample) -> str:
    return ", ".join(f"{name} {mw} mW" for name, mw in one.milliwatts.items()) or "not told"


def _parts(known: list[float]) -> list[list[float]]:
    return [list(part) for part in np.array_split(known, min(BLOCKS, len(known)))]
