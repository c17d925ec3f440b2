"""Two sets of records, figure by figure: what got worse beyond the noise of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from scanside.benchmarks.evidence.changes import (
    LEAST,
    Change,
    Circumstances,
    Verdict,
    change_of,
    judged,
)
from scanside.benchmarks.evidence.choosing import alike, same_machine
from scanside.benchmarks.evidence.record import Figure, Record
from scanside.benchmarks.evidence.spread import (
    BETWEEN_BY_CORE,
    Spread,
    assumed,
    crowded,
    spread_of,
)
from scanside.runtime.errors import RecordError, RegressionError

Key = tuple[str, ...]
BUSY_CORES = 0.2
"""Cores of others that are worth a word."""
NAMED = 5
"""Regressions that an error names; the table has all."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """pairs: of records, before and after, by benchmark. missing, new: names of figures that one
    side has alone. notes: what to keep in mind."""

    pairs: list[tuple[Record, Record]]
    changes: list[Change]
    missing: list[str]
    new: list[str]
    notes: list[str]

    @property
    def regressions(self) -> list[Change]:
        return [one for one in self.changes if one.verdict is Verdict.WORSE]


def compare(
    before: Sequence[Record],
    after: Sequence[Record],
    earlier: Sequence[Record] = (),
    *,
    least: float = LEAST,
    times: bool = False,
) -> Comparison:
    """earlier: the whole histories that the two are from: runs alike `before`, itself included,
    tell how far runs lie apart though nothing changed. least: smallest change that matters, as a
    share. times: figures by the clock are judged as well, where the machine is the same.

    Raises RecordError where the two have no benchmark in common, or are the same run.
    """
    ours = {one.bench: one for one in after}
    pairs = [(one, ours[one.bench]) for one in before if one.bench in ours]
    if not pairs:
        names = [", ".join(one.bench for one in side) or "none" for side in (before, after)]
        raise RecordError(
            f"these have no benchmark in common: {names[0]} and {names[1]}",
            next_step="compare runs of the same benchmark",
        )
    if all(one == other for one, other in pairs):
        raise RecordError("both are the same run", next_step="name two different ones")
    changes, missing, new, notes = [], [], [], []
    notes += [f"{one.bench} was run before only" for one in before if one.bench not in ours]
    was = {one.bench for one in before}
    notes += [f"{one.bench} was run after only" for one in after if one.bench not in was]
    for one, other in pairs:
        notes += differences(one, other)
        where = Circumstances(
            same_machine=same_machine(one, other),
            same_data=one.data == other.data,
            crowded=crowded(one.machine, other.machine),
            times=times,
            least=least,
        )
        theirs, mine = by_key(one), by_key(other)
        known = assumed([one.machine, other.machine])
        past = spreads([*alike(list(earlier), one), one], known)
        for key, figure in mine.items():
            if key in theirs:
                spread = past.get(key, known)
                changes.append(change_of(one.bench, theirs[key], figure, where, spread))
            else:
                new.append(said(one.bench, figure))
        missing += [said(one.bench, figure) for key, figure in theirs.items() if key not in mine]
    return Comparison(
        pairs=pairs, changes=judged(changes, least), missing=missing, new=new, notes=notes
    )


def by_key(record: Record) -> dict[Key, Figure]:
    """The first of a name counts: `new_record` lets no second in."""
    found: dict[Key, Figure] = {}
    for one in record.figures:
        found.setdefault(one.name, one)
    return found


def spreads(runs: Sequence[Record], least: Spread) -> dict[Key, Spread]:
    """Of each figure of `runs`, which were run alike, oldest first; a crowded machine's do not
    count. Never under `least`."""
    of: dict[Key, list[Figure]] = {}
    for run in runs:
        if crowded(run.machine):
            continue
        for key, figure in by_key(run).items():
            of.setdefault(key, []).append(figure)
    return {key: spread_of(figures, least) for key, figures in of.items()}


def said(bench: str, figure: Figure) -> str:
    """A figure's name for people: "latency: onnxruntime, 512: ratio"."""
    return ": ".join(filter(None, (bench, ", ".join(figure.of.values()), figure.metric)))


def differences(one: Record, other: Record) -> list[str]:
    """What else differs between two runs of a benchmark."""
    found = []
    if not same_machine(one, other):
        found.append(
            f"{one.bench}: another machine ({one.machine.name}, {len(one.machine.cores)} cores; "
            f"{other.machine.name}, {len(other.machine.cores)} cores): times and sizes are shown "
            "only, and a ratio may be another one there for good reasons"
        )
    for when, run in (("before", one), ("now", other)):
        others = run.machine.others or 0.0
        if others >= BUSY_CORES:
            words = f"{one.bench}, {when}: others kept {others:.1f} cores busy"
            if crowded(run.machine):
                found.append(
                    f"{words}: its ratios are no evidence and are shown only; run it again"
                )
            else:
                moved = f"{BETWEEN_BY_CORE * others:.0%}"
                found.append(f"{words}: their doing is taken to move ratios by {moved}")
    if one.bundle != other.bundle:
        found.append(f"{one.bench}: bundle {one.bundle or 'none'}, then {other.bundle or 'none'}")
    if one.data != other.data:
        found.append(f"{one.bench}: other images: quality is shown only")
    for key in sorted(one.setting.keys() | other.setting.keys()):
        was, now = one.setting.get(key, "not set"), other.setting.get(key, "not set")
        if was != now:
            found.append(f"{one.bench}: {key} {was}, then {now}")
    versions, newer = one.machine.versions, other.machine.versions
    changed = [
        f"{name} {versions.get(name, 'none')} -> {newer.get(name, 'none')}"
        for name in sorted(versions.keys() | newer.keys())
        if versions.get(name) != newer.get(name)
    ]
    if changed:
        found.append(f"{one.bench}: {', '.join(changed)}")
    return found


def counted(changes: Iterable[Change]) -> str:
    """How many of each verdict, in words."""
    counts = Counter(one.verdict for one in changes)
    return ", ".join(f"{counts[one]} {one.value}" for one in Verdict if counts[one])


def fail_on(regressions: Sequence[Change]) -> None:
    """Raises RegressionError where there are any."""
    if not regressions:
        return
    # A figure may be worse than the run before and than the median of some.
    names = list(dict.fromkeys(said(one.bench, one.after) for one in regressions))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    verb = "figures" if len(names) > 1 else "figure"
    raise RegressionError(
        f"{len(names)} {verb} got worse beyond the noise of both runs: "
        f"{'; '.join(names[:NAMED])}{more}",
        next_step="run that benchmark again: a regression comes back, a moment's load does not",
    )
