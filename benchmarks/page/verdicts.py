"""The bars of this project, held against what records say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scanside.benchmarks.evidence.record import Figure, Record
from scanside.benchmarks.page.latest import matches
from scanside.benchmarks.page.numbers import with_interval

MET, MISSED, UNSURE = "met", "MISSED", "unresolved"
EXCESS = 1.2
"""Of p99.9 over p50, through ipc with idle gaps, over the same in process."""
SAID = {f"{MET} ": MET, f"{MISSED} ": MISSED}


class Bar(NamedTuple):
    """limit: that the figures must keep, "lower" at most, "higher" at least. best: only the best of
    those that match is judged."""

    bench: str
    metric: str
    of: dict[str, str]
    better: str
    limit: float
    best: bool = False


class Judgement(NamedTuple):
    what: str
    measured: str
    bar: str
    verdict: str


def bars() -> list[Bar]:
    """Those of the benchmarks, from where they are kept."""
    from scanside.benchmarks.peers.services import GRPC, HTTP
    from scanside.benchmarks.peers.verdicts import FASTER_THAN_EAGER, OVERHEAD
    from scanside.benchmarks.quality.drift_tables import BAR_DB
    from scanside.benchmarks.serving.load import MANY, ONE
    from scanside.benchmarks.serving.suite import NEAR_IDENTITY
    from scanside.benchmarks.serving.verdicts import (
        DEAF,
        IDLE_MB,
        INSTALL_MB,
        RATIO,
        SHARE,
        START_S,
    )

    found = [
        Bar(
            "serving",
            "round trip",
            {"transport": transport, "side": str(side), "model": NEAR_IDENTITY},
            "lower",
            limit,
        )
        for (transport, side), limit in RATIO.items()
    ]
    found += [Bar("serving", "share", {"load": load}, "higher", SHARE) for load in (ONE, MANY)]
    found += [
        Bar("serving", "p99 of others", {}, "lower", DEAF),
        Bar("serving", "start to ready", {}, "lower", START_S),
        Bar("serving", "idle RSS", {}, "lower", IDLE_MB),
        Bar("serving", "base install", {}, "lower", INSTALL_MB),
    ]
    judged = {"model": NEAR_IDENTITY, "side": "512"}
    found += [
        Bar(
            "peers",
            "overhead ratio",
            {"contender": ours, "against": name, **judged},
            "lower",
            limit,
        )
        for (ours, theirs), limit in OVERHEAD.items()
        for name in ((HTTP, GRPC) if theirs == "PyTriton" else (theirs,))
    ]
    found.append(Bar("peers", "throughput ratio", judged, "higher", 1.0))
    found.append(Bar("peers", "speed", {}, "higher", FASTER_THAN_EAGER, best=True))
    found.append(Bar("drift", "total", {"stage": "model.cpu.onnx on *"}, "higher", -BAR_DB))
    found.append(Bar("gaps", "excess tail", {"transport": "ipc"}, "lower", EXCESS))
    return found


def judgements(record: Record, against: Sequence[Bar]) -> list[Judgement]:
    """Of all figures that there is a bar for, and what the record's notes say themselves."""
    found = [one for bar in against if bar.bench == record.bench for one in _judged(record, bar)]
    found += _of_filters(record)
    for note in record.notes:
        for start, verdict in SAID.items():
            if note.startswith(start):
                found.append(Judgement(note.removeprefix(start).strip(), "", "", verdict))
    return found


def other_notes(record: Record) -> list[str]:
    return [one for one in record.notes if not one.startswith(tuple(SAID))]


def _of_filters(record: Record) -> Iterator[Judgement]:
    """The INT8 network against the classical filter of the best quality, where there are any."""
    from scanside.benchmarks.peers.verdicts import FASTER_THAN_FILTERS

    if record.bench != "peers":
        return
    slower = {one.of["method"]: one for one in record.figures if matches(one, "time", {})}
    quality = {
        one.of["method"]: one.value
        for one in record.figures
        if one.metric == "psnr" and one.of["method"] in slower
    }
    if quality:
        best = max(quality, key=lambda name: quality[name])
        bar = Bar("peers", "time", {"method": best}, "higher", FASTER_THAN_FILTERS)
        yield from _judged(record, bar)


def _judged(record: Record, bar: Bar) -> Iterator[Judgement]:
    figures = [
        one
        for one in record.figures
        if matches(one, bar.metric, bar.of) and one.better == bar.better
    ]
    if bar.best and figures:
        sign = 1 if bar.better == "higher" else -1
        figures = [max(figures, key=lambda one: sign * one.value)]
    for one in figures:
        words = "at most" if bar.better == "lower" else "at least"
        what = ", ".join([one.metric, *one.of.values()])
        yield Judgement(
            f"{what}, over {one.over}" if one.over and "against" not in one.of else what,
            f"{with_interval(one)} {one.unit}",
            f"{words} {bar.limit:.3g}",
            verdict_of(one, bar),
        )


def verdict_of(figure: Figure, bar: Bar) -> str:
    """By the value; unresolved where the bar lies within the interval."""
    low, high = figure.low, figure.high
    if low is not None and high is not None and low <= bar.limit < high:
        return UNSURE
    kept = figure.value <= bar.limit if bar.better == "lower" else figure.value >= bar.limit
    return MET if kept else MISSED
