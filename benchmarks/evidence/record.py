"""One run of a benchmark as one line of JSON: the same form for all of them.

A history is a file of such lines, oldest first. Whatever reads them (`bench compare`, `bench
history`, `bench report`) knows figures by what they are `of`, and nothing of any benchmark.
"""

from __future__ import annotations

import math
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from scanside.benchmarks.evidence.checkout import commit
from scanside.benchmarks.evidence.machine import Machine, describe_machine
from scanside.benchmarks.evidence.paired import Estimate
from scanside.runtime.bundle import Bundle
from scanside.runtime.errors import RecordError

FORMAT = 1
HISTORY = Path("runs/bench/history.jsonl")
"""Where the verbs of `bench` keep what they measured, unless they are told otherwise."""

Better = Literal["lower", "higher", "neither"]
"""Which way of a figure is good; "neither" is never judged."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number of a run.

    metric, unit: "p50" in "ms", "ratio" in "times", "psnr" in "dB". of: what it is measured of,
    most telling first ({"engine": "onnxruntime", "side": "512"}); with the benchmark's name and the
    metric it is the figure's name in every run. low, high: its 95% interval. rounds: the same
    metric in each round or block of the run, in order of time: what a comparison takes the run's
    noise from, and whose middle it compares, so runs of different length have blocks of one length;
    five at least, some 20 to 60 to see a change of 15%. A figure of quality or a count that has
    none is taken for exact: the same code gives it again. Units are those of `kinds.py`; of others
    a figure is shown and never judged. over: what a ratio is over, in words; a ratio within a run
    survives a noisy machine, a time does not.
    """

    metric: str
    unit: str
    of: dict[str, str]
    value: float
    low: float | None = None
    high: float | None = None
    better: Better
    over: str = ""
    rounds: list[float] = []

    @property
    def name(self) -> tuple[str, ...]:
        return (*(f"{key}={self.of[key]}" for key in sorted(self.of)), self.metric)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one benchmark.

    when: UTC, ISO 8601. commit: of the checkout it ran from. bundle: name, version and the first 12
    digits of the identity, or empty. data: which images, and the data range of what is said of
    them. setting: whatever else it was told. notes: what was left out, and why.
    """

    format: int = FORMAT
    bench: str
    when: str
    commit: str
    machine: Machine
    bundle: str = ""
    data: str = ""
    setting: dict[str, str] = {}
    figures: list[Figure]
    notes: list[str] = []


def new_record(
    bench: str,
    figures: list[Figure],
    *,
    bundle: Bundle | None = None,
    data: str = "",
    setting: dict[str, str] | None = None,
    notes: list[str] | None = None,
) -> Record:
    """A record of here and now. Of two figures of one name the first is kept, and none that is no
    number: JSON has no word for those. The notes say so."""
    kept, dropped = _sound(figures)
    return Record(
        bench=bench,
        when=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        commit=commit(),
        machine=describe_machine(),
        bundle=bundle_words(bundle) if bundle is not None else "",
        data=data,
        setting=setting or {},
        figures=kept,
        notes=[*(notes or []), *dropped],
    )


def _sound(figures: list[Figure]) -> tuple[list[Figure], list[str]]:
    """The figures that can be kept, and what is said of the others."""
    kept: dict[tuple[str, ...], Figure] = {}
    notes = []
    for one in figures:
        words = ", ".join(one.name)
        if one.name in kept:
            notes.append(f"given twice, kept once: {words}")
        elif not math.isfinite(one.value):
            notes.append(f"left out, no number: {words}")
        else:
            low, high = (
                end if end is not None and math.isfinite(end) else None
                for end in (one.low, one.high)
            )
            # A round that is missing would shift those after it in time.
            rounds = one.rounds if all(map(math.isfinite, one.rounds)) else []
            kept[one.name] = replace(one, low=low, high=high, rounds=rounds)
    return list(kept.values()), notes


def bundle_words(bundle: Bundle) -> str:
    return f"{bundle.manifest.name} {bundle.manifest.version} {bundle.identity[:12]}"


def estimated(
    metric: str,
    unit: str,
    of: dict[str, str],
    found: Estimate,
    better: Better,
    *,
    over: str = "",
    rounds: list[float] | None = None,
) -> Figure:
    """A figure with its interval."""
    return Figure(
        metric=metric,
        unit=unit,
        of=of,
        value=found.value,
        low=found.low,
        high=found.high,
        better=better,
        over=over,
        rounds=rounds or [],
    )


def append_record(history: Path, record: Record) -> None:
    """Add a line, on the disk when this returns. A line that a crash cut off is left behind, and
    this one begins on a line of its own."""
    history.parent.mkdir(parents=True, exist_ok=True)
    line = msgspec.json.encode(record) + b"\n"
    with history.open("a+b") as stream:
        if stream.tell() > 0:
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                line = b"\n" + line
        stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())


def read_records(history: Path) -> list[Record]:
    """All lines, oldest first. Raises RecordError for a file that is not there, for a line that is
    no record, and for one of a newer format."""
    try:
        lines = history.read_bytes().splitlines()
    except OSError as error:
        raise RecordError(
            f"the history {history.name} cannot be read: {error.strerror}",
            next_step="run a benchmark first, or name its file with --history",
        ) from error
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found = msgspec.json.decode(line, type=Record)
        except msgspec.DecodeError as error:
            raise RecordError(
                f"line {number} of {history.name} is no record: {error}",
                next_step="remove that line; a run that was cut off leaves half of one",
            ) from error
        if found.format > FORMAT:
            raise RecordError(
                f"line {number} of {history.name} has format {found.format}; this Scanside reads "
                f"up to {FORMAT}",
                next_step="read it with the Scanside that wrote it, or a newer one",
            )
        records.append(found)
    return records
