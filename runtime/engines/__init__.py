"""Engines: what turns stored pixels into enhanced stored pixels.

Every engine honours one protocol, so that files, the daemon, the gate and the benchmarks run the
same code whatever is underneath.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from scanside.runtime.frame import FrameFacts, Pixels


class EngineSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine this is: `name` and `version` of the library, `device` and its threads."""

    name: str
    version: str
    device: str
    threads: int
    scale: int


class Engine(Protocol):
    """Enhances frames. Not thread-safe: one thread at a time per engine."""

    @property
    def spec(self) -> EngineSpec: ...

    def run(self, pixels: Pixels, facts: Sequence[FrameFacts], out: Pixels | None = None) -> Pixels:
        """Enhance N frames.

        pixels: (N, R, C) pixel words; facts: one per frame. The caller has admitted the frames
        (`scanside.runtime.admission`). Returns (N, R * scale, C * scale) of the same dtype: `out`
        if one is given and the engine can write there, else an array that it never touches again,
        since it may be sent without a copy; the input is not written to. Raises EngineError when
        the network fails, NonFiniteError when it yields a value that is not finite: the caller then
        passes the original on.
        """
        ...

    def warm_up(self, rows: int, columns: int) -> None:
        """Do now what the first frame of this size would otherwise wait for."""
        ...

    def close(self) -> None: ...
