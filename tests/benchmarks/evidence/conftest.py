"""Runs made of numbers: what a benchmark would have left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("scipy", reason="needs the extra [workstation]")

from scanside.benchmarks.evidence.machine import Machine
from scanside.benchmarks.evidence.record import Figure, Record, append_record

Series = npt.NDArray[np.float64]
QUIET = Machine(
    name="a machine",
    system="Linux 6 x86_64",
    cores=[0, 1],
    memory_mb=8000,
    python="3.11.7",
    versions={"numpy": "2.0"},
    others=0.0,
)


@pytest.fixture
def quiet() -> Machine:
    return QUIET


@pytest.fixture
def ratio() -> Callable[..., Figure]:
    """ratio(logarithms of rounds, name): a ratio that was measured with noise."""

    def made(logs: Series, name: str = "x", better: str = "lower", **others: object) -> Figure:
        rounds = np.exp(logs)
        fields = {"metric": "ratio", "unit": "times", "over": "the floor", **others}
        return Figure(
            of={"engine": name},
            value=float(np.median(rounds)),
            better=better,
            rounds=rounds.tolist(),
            **fields,
        )

    return made


@pytest.fixture
def exact() -> Callable[..., Figure]:
    """exact(value, unit): a figure without noise."""

    def made(
        value: float,
        unit: str = "dB",
        metric: str = "psnr",
        better: str = "higher",
        name: str = "x",
    ) -> Figure:
        return Figure(metric=metric, unit=unit, of={"stage": name}, value=value, better=better)

    return made


@pytest.fixture
def run() -> Callable[..., Record]:
    """run(figures): a record of a quiet machine; whatever else is said replaces its fields."""

    def made(figures: Sequence[Figure], **others: object) -> Record:
        fields = {
            "bench": "latency",
            "when": "2026-11-23T06:00:00+00:00",
            "commit": "0123456789ab",
            "machine": QUIET,
            **others,
        }
        return Record(figures=list(figures), **fields)

    return made


@pytest.fixture
def kept(tmp_path: Path) -> Callable[..., Path]:
    """kept(records): the file of a history."""

    def made(records: Sequence[Record], name: str = "history.jsonl") -> Path:
        path = tmp_path / name
        for one in records:
            append_record(path, one)
        return path

    return made


@pytest.fixture
def drifting() -> Callable[..., Series]:
    """drifting(rng, count, kept, deviation): each round keeps a share of the one before it."""

    def made(rng: np.random.Generator, count: int, kept: float, deviation: float) -> Series:
        steps = rng.normal(0, 1, count + 100)
        found = np.zeros_like(steps)
        for at in range(1, len(steps)):
            found[at] = kept * found[at - 1] + steps[at]
        return found[100:] * deviation * np.sqrt(1 - kept**2)

    return made
