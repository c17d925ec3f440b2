"""How a script of the BSP ended, by its code and by what it said.

The patterns are what public reports quote; a script that ends well without saying so is not taken
for a success.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from scanside.jetson.flash.child import Ended
from scanside.jetson.flash.templates import rows

SUCCESS = re.compile(r"Flash(?:ing)? (?:is )?success(?:ful)?\b", re.IGNORECASE)
USB = "usb"
_LOOK = "read the log before anything else; nothing is tried again by itself"


class Pattern(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    end: str
    patterns: tuple[str, ...]
    next_step: str


class End(NamedTuple):
    """name: success, usb, host, disk, storage, board, unknown, failed. said: the line that told."""

    name: str
    said: str
    next_step: str


def end_of(ended: Ended) -> End:
    """Of the script that flashes."""
    failure = failure_of(ended)
    if ended.code != 0:
        return failure
    success = next((line for line in reversed(ended.lines) if SUCCESS.search(line)), None)
    if success is None or failure.name == USB:
        return End("unknown", "it ended without an error, and did not say that it flashed", _LOOK)
    return End("success", success, "")


def failure_of(ended: Ended) -> End:
    """Of any script that failed; one that a pattern knows is looked for first."""
    for kind in rows("ends.json", Pattern):
        for line in ended.lines:
            if any(pattern in line for pattern in kind.patterns):
                return End(kind.end, line[:200], kind.next_step)
    last = ended.lines[-1][:200] if ended.lines else "it said nothing"
    return End("failed", f"{last} (exit code {ended.code})", _LOOK)
