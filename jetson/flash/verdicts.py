"""What a check of a flash found, and how a list of them ends."""

from __future__ import annotations

from enum import Enum

import msgspec


class Verdict(str, Enum):
    OK = "ok"
    NOTE = "note"
    REFUSED = "refused"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """what: that was looked at. text: how it is. next_step: where it is refused."""

    what: str
    verdict: Verdict
    text: str
    next_step: str = ""


def ok(what: str, text: str) -> Found:
    return Found(what=what, verdict=Verdict.OK, text=text)


def note(what: str, text: str, next_step: str = "") -> Found:
    return Found(what=what, verdict=Verdict.NOTE, text=text, next_step=next_step)


def refused(what: str, text: str, next_step: str) -> Found:
    return Found(what=what, verdict=Verdict.REFUSED, text=text, next_step=next_step)
