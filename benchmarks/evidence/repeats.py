"""Is the judge of regressions right on this machine? Many runs of one short benchmark, nothing
changed between them: none may alarm. Then runs with a delay planted: each must.

``python -m scanside.benchmarks.evidence.repeats --out runs/bench/repeats.jsonl``

The benchmark is real and small: the near-identity network on each engine, one thread, at some
sizes, all in turn, each run in a process of its own so that memory lies differently. Its history
stays for
`scanside bench history --history`.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations, pairwise
from pathlib import Path

import click
import numpy as np

from scanside.benchmarks.evidence.changes import Change, Verdict
from scanside.benchmarks.evidence.compare import compare
from scanside.benchmarks.evidence.paired import Times, blocks_of, ratio_of
from scanside.benchmarks.evidence.record import (
    Figure,
    Record,
    append_record,
    estimated,
    new_record,
    read_records,
)
from scanside.benchmarks.evidence.shown import change_in_words, interval_in_words
from scanside.benchmarks.evidence.spread import assumed, crowded, spread_of
from scanside.benchmarks.evidence.timeline import Wanted, review
from scanside.benchmarks.tables import show, table
from scanside.runtime.cli.finite import Finite
from scanside.runtime.errors import BenchmarkError
from scanside.runtime.frame import Pixels
from scanside.runtime.progress import task

BENCH = "repeats"
SIDES = (128, 256, 384, 512)
CALLS = 5
"""Of one contender in a round: the first ones warm it."""
WARM_UP = 20
Call = Callable[[], Pixels]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/bench/repeats.jsonl"))
@click.option("--repeats", type=click.IntRange(min=2), default=21, help="Runs without a change.")
@click.option("--planted", type=click.IntRange(min=0), default=3, help="Runs with one.")
@click.option("--plant", type=Finite(0, 9), default=0.15, help="Of a call's time.")
@click.option("--rounds", type=click.IntRange(min=50), default=400, help="Of each run.")
@click.option("--once", is_flag=True, hidden=True)
@click.option("--delay", type=float, default=0.0, hidden=True)
def main(
    out: Path, repeats: int, planted: int, plant: float, rounds: int, once: bool, delay: float
) -> None:
    """Repeat a short benchmark and count false alarms; plant regressions and count finds."""
    if once:
        append_record(out, run_once(rounds, delay))
        return
    if out.exists():
        raise click.UsageError(f"{out.name} is there already: its runs would be counted too")
    with task("Repeating the benchmark", repeats + planted) as progress:
        for number in range(repeats + planted):
            share = 0.0 if number < repeats else plant
            words = ["--once", "--out", out, "--rounds", rounds, "--delay", share]
            command = [sys.executable, "-m", __spec__.name, *map(str, words)]
            subprocess.run(command, check=True)
            progress.advance()
    records = read_records(out)
    report(records[:repeats], records[repeats:], plant)


def run_once(rounds: int, delay: float) -> Record:
    """delay: of the second engine's calls, planted, as a share of their time."""
    from scanside.benchmarks.serving.frames import FACTS, ct_frames
    from scanside.benchmarks.serving.identity import write_identity
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.engines.choose import available_engines, open_engine

    calls: dict[tuple[str, int], Call] = {}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "near-identity.scanside"
        write_identity(path)
        for engine in available_engines():
            opened = open_engine(Bundle.open(path), engine, 1)
            for side in SIDES:
                words = ct_frames(side, 1)[0][np.newaxis]
                calls[engine, side] = _checked(partial(opened.run, words, [FACTS]))
    notes = []
    if delay:
        last = list(calls)[-1]
        calls[last] = _slower(calls[last], delay)
        notes.append(f"planted: +{delay:.0%} in {last[0]} at {last[1]}")
    times = measure(calls, rounds)
    floor_name = next(iter(calls))[0]
    figures = []
    for (engine, side), mine in times.items():
        figures.append(_time(engine, side, float(np.median(mine))))
        if engine != floor_name:
            ours, floor = blocks_of(mine), blocks_of(times[floor_name, side])
            figures.append(
                estimated(
                    "time",
                    "times",
                    {"engine": engine, "side": str(side)},
                    ratio_of(ours, floor),
                    "lower",
                    over=floor_name,
                    rounds=(ours / floor).ravel().tolist(),
                )
            )
    return new_record(BENCH, figures, setting={"rounds": str(rounds)}, notes=notes)


def _time(engine: str, side: int, value: float) -> Figure:
    of = {"engine": engine, "side": str(side)}
    return Figure(metric="p50", unit="ms", of=of, value=value, better="lower")


def measure(calls: dict[tuple[str, int], Call], rounds: int) -> dict[tuple[str, int], Times]:
    """(rounds, `CALLS`) ms of each, in a new random order each round."""
    names = list(calls)
    times = {name: np.empty((WARM_UP + rounds, CALLS)) for name in names}
    rng = np.random.default_rng()
    for round_ in range(WARM_UP + rounds):
        for at in rng.permutation(len(names)):
            for number in range(CALLS):
                start = time.perf_counter()
                calls[names[at]]()
                times[names[at]][round_, number] = (time.perf_counter() - start) * 1e3
    return {name: found[WARM_UP:] for name, found in times.items()}


def _checked(call: Call) -> Call:
    """As `call`, which must give what it gave the first time."""
    expected = call()

    def again() -> Pixels:
        found = call()
        if not np.array_equal(found, expected):
            raise BenchmarkError("an answer differs from the first one: no time counts")
        return found

    return again


def _slower(call: Call, share: float) -> Call:
    took = []
    for _ in range(50):
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    pause = share * float(np.median(took))

    def slowed() -> Pixels:
        found = call()
        until = time.perf_counter() + pause
        while time.perf_counter() < until:  # a sleep so short is three times as long
            pass
        return found

    return slowed


def report(plain: Sequence[Record], planted: Sequence[Record], plant: float) -> None:
    """Print the counts. Raises BenchmarkError for a false alarm, and for a planted regression that
    was missed though it was larger than what the comparison says that it sees."""
    runs: dict[str, list[Figure]] = {}
    for one in plain:
        for figure in _ratios(one):
            runs.setdefault(_name(figure), []).append(figure)
    show(
        table(
            f"{BENCH}: {len(plain)} runs without a change, {plain[0].machine.name}, "
            f"{plain[0].when[:16]} to {plain[-1].when[11:16]}, others on "
            f"{_others(plain)} cores",
            ("figure", "median", "within a run", "between runs", "assumed"),
            [
                (
                    name,
                    f"{np.median([one.value for one in found]):.3f}",
                    f"{np.mean([np.std(np.log(one.rounds)) for one in found]):.1%}",
                    f"{np.std(np.log([one.value for one in found])):.1%}",
                    f"{spread_of(found, assumed(one.machine for one in plain)).deviation:.1%}",
                )
                for name, found in runs.items()
            ],
        )
    )
    pairs = list(pairwise(plain))
    alone = [bool(compare([one], [other]).regressions) for one, other in pairs]
    known = [bool(compare([one], [other], plain).regressions) for one, other in pairs]
    every = [bool(compare([one], [other]).regressions) for one, other in combinations(plain, 2)]
    held = [bool(review(plain[: at + 1], Wanted()).regressions) for at in range(1, len(plain))]
    naive = [_bootstrap_alarms(one, other) for one, other in pairs]
    slowed = [_slowed(compare([plain[-1]], [one]).changes) for one in planted]
    found = [one.verdict is Verdict.WORSE for one in slowed]
    after = [bool(review([*plain, one], Wanted()).regressions) for one in planted]
    for words, alarms in (
        ("false alarms, each run against the one before", alone),
        ("the same, the spread of earlier runs known", known),
        ("false alarms, every pair of runs", every),
        ("false alarms of `bench history`, run by run", held),
        ("for comparison, an ordinary bootstrap of the rounds at 95%", naive),
        (f"planted +{plant:.0%} found, against the last run without", found),
        (f"planted +{plant:.0%} found by `bench history`", after),
    ):
        click.echo(f"{sum(alarms):4d} of {len(alarms):4d}  {words}")
    if any(alone) or any(known) or any(held):
        raise BenchmarkError("the judge alarmed though nothing had changed")
    busy = sum(crowded(one.machine) for one in (*plain, *planted))
    if busy:
        raise BenchmarkError(
            f"others kept the machine busy in {busy} of {len(plain) + len(planted)} runs, whose "
            "ratios are not judged",
            next_step="repeat it on a machine that has nothing else to do",
        )
    for change in slowed:
        seen = f"seen from {math.expm1(change.visible):.0%}"
        words = f"{change_in_words(change)} {interval_in_words(change)}, {seen}"
        click.echo(f"planted in {_name(change.after)}: {words}: {change.verdict.value}")
    if any(
        change.verdict is not Verdict.WORSE and change.visible < math.log1p(plant)
        for change in slowed
    ):
        raise BenchmarkError("the judge missed a planted regression")


def _others(runs: Sequence[Record]) -> str:
    found = [one.machine.others for one in runs if one.machine.others is not None]
    return f"{min(found):.1f} to {max(found):.1f}" if found else "an unknown number of"


def _ratios(record: Record) -> list[Figure]:
    return [one for one in record.figures if one.rounds]


def _name(figure: Figure) -> str:
    return ", ".join(figure.of.values())


def _slowed(changes: Sequence[Change]) -> Change:
    """The last ratio, which the delay is in."""
    return [one for one in changes if one.noisy][-1]


def _bootstrap_alarms(before: Record, after: Record) -> bool:
    """Whether some figure's rounds, taken for independent, say that it got worse."""
    return any(
        _bootstrap(one, other) for one, other in zip(_ratios(before), _ratios(after), strict=True)
    )


def _bootstrap(before: Figure, after: Figure) -> bool:
    rng = np.random.default_rng(0)
    draws = [
        np.median(np.log(one.rounds)[rng.integers(0, len(one.rounds), (2000, len(one.rounds)))], 1)
        for one in (before, after)
    ]
    return float(np.percentile(draws[1] - draws[0], 2.5)) > 0


if __name__ == "__main__":
    main()
