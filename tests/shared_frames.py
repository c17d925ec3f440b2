"""Frames in shared memory, looked at from outside."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from daemons import SOON_S


def mapped() -> int:
    """How many rings this process maps."""
    return Path("/proc/self/maps").read_text().count("memfd:scanside")


def wait_for(done: Any) -> None:
    until = time.monotonic() + SOON_S
    while not done():
        assert time.monotonic() < until
        time.sleep(0.005)
