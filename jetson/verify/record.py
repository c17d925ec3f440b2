"""The evidence of an acceptance run: what it holds, and what it may claim."""

from __future__ import annotations

import msgspec

from scanside.jetson.verify.facts import Moment, Unit
from scanside.jetson.verify.latency import Latency

FORMAT = 1


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """The worst of the golden frames, in modality units and dB (null where all were equal)."""

    frames: int
    largest: float
    p999: float
    psnr: float | None


class InMode(msgspec.Struct, frozen=True, kw_only=True):
    """One power mode. asked: by name, null where the device has none. reached: read back. missed:
    why nothing was measured in it, or empty. steady, gaps: without and with pauses between frames;
    null where it was not reached."""

    asked: str | None
    reached: str | None
    missed: str = ""
    golden: Golden | None = None
    steady: Latency | None = None
    gaps: Latency | None = None
    before: Moment | None = None
    after: Moment | None = None


class Soak(msgspec.Struct, frozen=True, kw_only=True):
    """minutes: that it took. golden_passes: how often the golden frames passed meanwhile.
    differing: frames whose result was not, to the last bit, that of the same frame at first.
    first, last: the latency of its first and last tenth. moments: in order."""

    minutes: float
    frames: int
    golden_passes: int
    differing: int
    whole: Latency
    first: Latency
    last: Latency
    moments: tuple[Moment, ...]

    @property
    def growth_mb(self) -> float:
        """Of this process, from a third of the way on: before that it warms up."""
        third = self.moments[len(self.moments) // 3 :]
        return round(third[-1].resident_mb - third[0].resident_mb, 1)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """By the plan's own evidence. seconds: its building took."""

    key: str
    tensorrt: str
    layers: int
    int8: int
    seconds: float


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """passed: null where it could not be looked at here."""

    what: str
    passed: bool | None
    figure: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """headline: the first line, and all that may be claimed."""

    headline: str
    format: int = FORMAT
    time: str
    passed: bool
    checks: tuple[Check, ...]
    unit: Unit
    bundle: str
    identity: str
    sha256: str
    signer: str
    engine: str
    service_ran: bool
    plan: Plan | None
    modes: tuple[InMode, ...]
    soak: Soak


def headline(unit: Unit, engine: str, time: str) -> str:
    """What the run verified, in one line; on no Jetson, or an unknown one, that it did not."""
    if unit.l4t and not unit.jetson:
        return (
            f"Not verified for this module: it is none that is known here (L4T {unit.l4t}); it was "
            f"run with {engine}, {time}"
        )
    if not unit.jetson:
        return (
            f"Not verified on hardware: this machine is no Jetson ({unit.processor}); what follows "
            f"was measured on it with {engine}, {time}"
        )
    which = f"{unit.module}, serial {unit.serial or 'not told'}, JetPack {unit.jetpack or '?'}"
    if not engine.startswith("tensorrt"):
        return f"TensorRT was not verified: {which} was run with {engine}, {time}"
    return f"Run on this unit: {which} (L4T {unit.l4t}), with {engine}, {time}"
