"""Records made by hand, for what reads them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

pytest.importorskip("matplotlib", reason="needs the extra [workstation]")

from scanside.benchmarks.evidence.machine import Machine
from scanside.benchmarks.evidence.record import Figure, Record

MACHINE = Machine(
    name="a <made> machine",
    system="Linux",
    cores=[2, 3],
    memory_mb=25_000,
    python="3.11.7",
    versions={"numpy": "2.4.6"},
)


def figure(metric: str, unit: str, value: float, better: str = "lower", **of: str) -> Figure:
    """With an interval of a tenth either side."""
    return Figure(
        metric=metric,
        unit=unit,
        of=of,
        value=value,
        low=value * 0.9,
        high=value * 1.1,
        better=better,
        over="the floor" if unit == "times" else "",
    )


def record(
    bench: str,
    figures: Sequence[Figure],
    bundle: str = "",
    day: int = 1,
    notes: Sequence[str] = (),
) -> Record:
    return Record(
        bench=bench,
        when=f"2026-11-{day:02d}T12:00:00+00:00",
        commit="0123456789ab",
        machine=MACHINE,
        bundle=bundle,
        data="a made body, data range 4095 HU",
        setting={"effort": "short"},
        figures=list(figures),
        notes=list(notes),
    )
