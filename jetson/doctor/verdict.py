"""What a check says, and the page that all of them make."""

from __future__ import annotations

from enum import Enum

import msgspec

from scanside.jetson.device import Device
from scanside.runtime.platforms import Module, Release


class Verdict(str, Enum):
    """RED: it will not work, or must not be used. YELLOW: it may work; advice, or what is not sure.
    NOT_JUDGED: something else has to be settled first; the line says what."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"
    NOT_JUDGED = "not judged"


GREEN, YELLOW, RED, NOT_JUDGED = Verdict

GROUPS = {
    "module": "Platform",
    "release": "Platform",
    "packages": "Platform",
    "python": "Libraries",
    "tensorrt": "Libraries",
    "cuda": "GPU",
    "access": "GPU",
    "power": "Power and heat",
    "heat": "Power and heat",
    "memory": "Memory and disk",
    "disk": "Memory and disk",
    "time": "Time",
    "scanside": "Scanside",
    "bundle": "Bundle",
    "doctor": "This page",
}
"""By the first word of a check's name."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """name: for programs, as module.known. title: for people. next_step: what to do; every red line
    has one."""

    name: str
    title: str
    verdict: Verdict
    found: str
    expected: str = ""
    next_step: str = ""

    def __post_init__(self) -> None:
        if self.verdict is Verdict.RED and not self.next_step:
            raise ValueError(f"{self.name} is red and says no next step")

    @property
    def group(self) -> str:
        return GROUPS[self.name.partition(".")[0]]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A device with the rows of the table that it belongs to, each None where that is not known or
    is refused."""

    device: Device
    module: Module | None
    release: Release | None

    @property
    def target(self) -> str | None:
        if self.module is None or self.release is None:
            return None
        return f"{self.module.name}-jp{self.release.jetpack}"


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """time: of this machine, in UTC. target: a name of the table, or None. model, serial, l4t: of
    the device. asked_as: whether by root."""

    time: str
    scanside: str
    asked_as: str
    target: str | None
    model: str | None
    serial: str | None
    l4t: str | None
    checks: tuple[Check, ...]

    def count(self, verdict: Verdict) -> int:
        return sum(check.verdict is verdict for check in self.checks)

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        there = {check.verdict for check in self.checks}
        return next((one for one in (RED, YELLOW) if one in there), GREEN)

    def groups(self) -> dict[str, list[Check]]:
        """Title -> its checks, in the order of GROUPS."""
        titles = dict.fromkeys(GROUPS.values())
        grouped = {title: [c for c in self.checks if c.group == title] for title in titles}
        return {title: checks for title, checks in grouped.items() if checks}


class Line(msgspec.Struct, frozen=True):
    """A check that is about to be judged."""

    name: str
    title: str
    expected: str = ""

    def green(self, found: str) -> Check:
        return self.judged(GREEN, found, "")

    def yellow(self, found: str, next_step: str) -> Check:
        return self.judged(YELLOW, found, next_step)

    def red(self, found: str, next_step: str) -> Check:
        return self.judged(RED, found, next_step)

    def not_judged(self, why: str) -> Check:
        return self.judged(NOT_JUDGED, why, "")

    def judged(self, verdict: Verdict, found: str, next_step: str) -> Check:
        return Check(
            name=self.name,
            title=self.title,
            verdict=verdict,
            found=_printable(found),
            expected=self.expected,
            next_step=_printable(next_step),
        )


def _printable(text: str) -> str:
    """Files and tools of a device may say anything, and this reaches a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def softened(uncertain: bool) -> Verdict:
    """For a device that differs from the table: a cell that was never settled refuses nobody."""
    return YELLOW if uncertain else RED
