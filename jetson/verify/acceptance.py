"""The acceptance run: golden frames and latency in each power mode, then a soak; what it proves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from scanside.jetson.application.service import Service
from scanside.jetson.install.checks import carries_plan, tensorrt_here
from scanside.jetson.machine import Machine
from scanside.jetson.verify.facts import read_moment, read_unit
from scanside.jetson.verify.latency import time_engine
from scanside.jetson.verify.modes import allowed_modes, mode_kept, set_mode
from scanside.jetson.verify.record import (
    Check,
    Evidence,
    Golden,
    InMode,
    Plan,
    Soak,
    headline,
)
from scanside.jetson.verify.soak import soak
from scanside.runtime.bundle import Bundle
from scanside.runtime.engines import Engine
from scanside.runtime.engines.choose import TENSORRT, open_engine
from scanside.runtime.golden import check_engine
from scanside.runtime.manifest import PLAN_PREFIX
from scanside.runtime.planner import kept_plan
from scanside.runtime.plans import Evidence as PlanEvidence

MOST_GROWTH_MB = 16.0
LEAST_MINUTES = 1.0
"""A shorter soak says nothing of heat: its tenths are a few frames."""
MOST_SLOWER = 1.25
"""Of the soak's last tenth against its first: heat that is not throttling yet shows here."""


@dataclass(frozen=True)
class Acceptance:
    """bundle, sha256: what is run. plans: folder of plans. modes: of the power, by name [those that
    the table of platforms allows]. frames: timed in each mode; gaps: with a pause of gap_s before
    each. deadline_ms: what the 99th percentile must keep, if anything. told: what it is at. heed:
    called after each frame; what it raises ends the run."""

    machine: Machine
    bundle: Bundle
    sha256: str
    plans: Path
    engine: str = "auto"
    threads: int | None = None
    modes: tuple[str, ...] = ()
    frames: int = 200
    gaps: int = 20
    gap_s: float = 0.5
    soak_minutes: float = 10.0
    deadline_ms: float | None = None
    told: Callable[[str], object] = lambda text: None
    heed: Callable[[], object] = lambda: None

    def run(self) -> Evidence:
        """Raises EngineError when the engine fails or fails the golden frames, DeviceError for a
        power mode that is not there or cannot be put back."""
        modes = allowed_modes(self.machine, self.modes)
        ran_before = Service(self.machine).runs
        engine = open_engine(self.bundle, self.engine, self.threads, [self.plans])
        try:
            with mode_kept(self.machine):
                found = tuple(self._in_mode(engine, name) for name in modes or (None,))
            # In the mode that the device is used in.
            soaked = soak(
                self.machine, engine, self.bundle, self.soak_minutes, self.told, self.heed
            )
            name = f"{engine.spec.name} {engine.spec.version}"
        finally:
            engine.close()
        service_ran = ran_before or Service(self.machine).runs
        return self._summed_up(name, found, soaked, service_ran)

    def _in_mode(self, engine: Engine, name: str | None) -> InMode:
        reached = set_mode(self.machine, name) if name else None
        if reached != name:
            self.told(f"{name}: not reached, the device is in {reached}")
            return InMode(
                asked=name, reached=reached, missed="a reboot is needed for it, or it is refused"
            )
        self.told(f"{name or 'the only power mode'}: golden frames, then {self.frames} frames")
        before = read_moment(self.machine)
        report = check_engine(engine, self.bundle)
        steady = time_engine(engine, self.bundle, self.frames, heed=self.heed)
        gaps = time_engine(engine, self.bundle, self.gaps, gap_s=self.gap_s, heed=self.heed)
        worst = report.worst
        return InMode(
            asked=name,
            reached=reached,
            golden=Golden(
                frames=len(report.frames),
                largest=worst.largest,
                p999=worst.p999,
                psnr=worst.psnr if math.isfinite(worst.psnr) else None,
            ),
            steady=steady,
            gaps=gaps,
            before=before,
            after=read_moment(self.machine),
        )

    def _summed_up(
        self, engine: str, modes: tuple[InMode, ...], soaked: Soak, service_ran: bool
    ) -> Evidence:
        unit = read_unit(self.machine)
        time = datetime.now(timezone.utc).isoformat(timespec="seconds")
        manifest = self.bundle.manifest
        plan = self._plan() if engine.startswith(TENSORRT) else None
        checks = (
            *checks_of(modes, soaked, self.deadline_ms),
            Check(
                what="the plan works on INT8",
                passed=plan.int8 > 0 if plan else None,
                figure=f"{plan.int8} of {plan.layers} layers"
                if plan
                else f"no plan: {engine} counts none",
            ),
        )
        return Evidence(
            headline=headline(unit, engine, time),
            time=time,
            passed=all(check.passed is not False for check in checks),
            checks=checks,
            unit=unit,
            bundle=f"{manifest.name} {manifest.version}, serial {manifest.serial}",
            identity=self.bundle.identity,
            sha256=self.sha256,
            signer=self.bundle.signer,
            engine=engine,
            service_ran=service_ran,
            plan=plan,
            modes=modes,
            soak=soaked,
        )

    def _plan(self) -> Plan | None:
        """By the evidence of whoever built it."""
        device = tensorrt_here(TENSORRT)
        assert device is not None
        if key := carries_plan(self.bundle, device):
            raw = self.bundle.member(f"{PLAN_PREFIX}{key}.json")
            one = msgspec.json.decode(raw, type=PlanEvidence)
        else:
            kept = kept_plan(self.bundle, device, self.plans)
            if kept is None:
                return None
            one = kept.evidence
        return Plan(
            key=one.key,
            tensorrt=one.fingerprint.tensorrt,
            layers=one.layers,
            int8=one.int8,
            seconds=one.seconds,
        )


def checks_of(modes: tuple[InMode, ...], soaked: Soak, limit: float | None) -> tuple[Check, ...]:
    """What modes and soak show. limit: ms that the 99th percentile must keep, if any."""
    measured = [mode for mode in modes if mode.steady and mode.gaps]
    slowest = max((mode.steady.p99_ms for mode in measured if mode.steady), default=math.inf)
    gaps = max((mode.gaps.p99_ms for mode in measured if mode.gaps), default=math.inf)
    moments = [
        *(moment for mode in measured for moment in (mode.before, mode.after) if moment),
        *soaked.moments,
    ]
    throttled = sorted({name for moment in moments for name in moment.throttling or ()})
    seen = any(moment.throttling is not None for moment in moments)
    counts = [moment.over_current for moment in moments if moment.over_current is not None]
    slower = soaked.last.median_ms / max(soaked.first.median_ms, 1e-9)
    missed = [str(mode.asked) for mode in modes if mode.missed]
    return (
        Check(
            what="golden frames in every power mode",
            passed=not missed,
            figure=f"{len(measured)} of {len(modes)} modes"
            + (f"; not reached: {', '.join(missed)}" if missed else ""),
        ),
        Check(
            what="golden frames during the soak",
            passed=True,  # a failure ends the run
            figure=f"{soaked.golden_passes} times",
        ),
        Check(
            what="the same frame gives the same bits",
            passed=soaked.differing == 0,
            figure=f"{soaked.differing} of {soaked.frames} differed",
        ),
        Check(
            what="99th percentile within the deadline, with and without pauses",
            passed=None if limit is None else max(slowest, gaps) <= limit,
            figure=(
                f"{slowest:.1f} ms, with pauses {gaps:.1f} ms; "
                if measured
                else "nothing was measured; "
            )
            + ("no deadline was named" if limit is None else f"allowed {limit:g} ms"),
        ),
        Check(
            what="no throttling",
            passed=not throttled if seen else None,
            figure=", ".join(throttled) or ("none seen" if seen else "nothing here tells of it"),
        ),
        Check(
            what="no over-current",
            passed=max(counts) == min(counts) if counts else None,
            figure=f"{max(counts) - min(counts)} events" if counts else "no counter here",
        ),
        Check(
            what="as fast at the soak's end as at its beginning",
            passed=slower <= MOST_SLOWER if soaked.minutes >= LEAST_MINUTES else None,
            figure=f"median {soaked.first.median_ms:.1f} ms, then {soaked.last.median_ms:.1f} "
            f"ms; allowed {MOST_SLOWER:g} times",
        ),
        Check(
            what="memory stays",
            passed=soaked.growth_mb <= MOST_GROWTH_MB,
            figure=f"{soaked.growth_mb:+.1f} MiB over the soak's last two thirds; allowed "
            f"{MOST_GROWTH_MB:g}",
        ),
    )
