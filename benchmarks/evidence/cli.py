"""The verbs `bench compare` and `bench history`."""

from __future__ import annotations

from pathlib import Path

import click

from scanside.benchmarks.evidence.kept import PATH
from scanside.runtime.cli.finite import Finite

TOLD = 20
"""Figures that are missing or new, by name."""


def _percent(context: click.Context, option: click.Parameter, value: float) -> float:
    return value / 100


_least = click.option(
    "--least",
    type=Finite(0, 100, min_open=True),
    default=5,
    show_default=True,
    callback=_percent,
    help="Smallest change that matters, in %.",
)
_times = click.option(
    "--times",
    is_flag=True,
    help="Judge times as well, where the machine is the same: for one that does nothing else.",
)
_history = click.option(
    "--history", "kept", type=PATH, help="The file of records [runs/bench/history.jsonl]."
)


def _say_reasons(words: str) -> None:
    if words:
        click.echo(f"shown, not judged: {words}")


@click.command()
@click.argument("before", metavar="[A]", required=False)
@click.argument("after", metavar="[B]", required=False)
@_least
@_times
@click.option("--all", "every", is_flag=True, help="Every figure, not only those that tell.")
@_history
@click.option("--plot", type=PATH, help="PNG, SVG or HTML [compare.png beside the history].")
def compare(
    before: str | None,
    after: str | None,
    least: float,
    times: bool,
    every: bool,
    kept: Path | None,
    plot: Path | None,
) -> None:
    """Hold run B against run A; fail when a figure got worse beyond the noise of both.

    A and B are each FILE, FILE@WHICH, or WHICH in the history: last, previous, the number of a
    line (@-1 is the last one), or the first digits of a commit. B is the last run if nothing is
    said, A the one before it that was run alike.

    \b
    Example:
      scanside bench compare
      scanside bench compare 3ed7f84 last --plot changes.svg
      scanside bench compare yesterday.jsonl today.jsonl@2
    """
    from scanside.benchmarks.evidence.choosing import LAST, PREVIOUS, read_choice
    from scanside.benchmarks.evidence.compare import compare as compare_records
    from scanside.benchmarks.evidence.compare import counted, fail_on
    from scanside.benchmarks.evidence.pictures import check_format, forest, write_picture
    from scanside.benchmarks.evidence.record import HISTORY
    from scanside.benchmarks.evidence.shown import changes_tables, reasons_in_words, run_in_words
    from scanside.benchmarks.tables import show

    kept = kept or HISTORY
    picture = plot or kept.parent / "compare.png"
    check_format(picture)
    theirs, earlier = read_choice(before or PREVIOUS, kept)
    mine, _ = read_choice(after or LAST, kept)
    found = compare_records(theirs, mine, earlier, least=least, times=times)
    for one, other in found.pairs:
        click.echo(f"before  {run_in_words(one)}\nnow     {run_in_words(other)}")
    show(*changes_tables(f"a change matters from {least:.0%}", found.changes, every=every))
    _say_reasons(reasons_in_words(found.changes))
    for word, names in (("missing", found.missing), ("new", found.new)):
        for name in names if every else names[:TOLD]:
            click.echo(f"{word}: {name}")
        if len(names) > TOLD and not every:
            click.echo(f"{word}: {len(names) - TOLD} more: --all")
    for note in found.notes:
        click.echo(f"note: {note}")
    write_picture(picture, forest(found, least), "What changed between two runs")
    click.echo(f"{counted(found.changes) or 'no figure is in both'}; picture: {picture}")
    fail_on(found.regressions)


@click.command("history")
@click.option("--bench", "benches", multiple=True, help="Of this benchmark; may be repeated [all].")
@click.option("--metric", "metrics", multiple=True, help="Of this metric; may be repeated [all].")
@click.option(
    "--of",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="Of figures with this; may be repeated.",
)
@_least
@_times
@_history
@click.option("--plot", type=PATH, help="PNG, SVG or HTML [history.png beside the history].")
def history(
    benches: tuple[str, ...],
    metrics: tuple[str, ...],
    pairs: tuple[str, ...],
    least: float,
    times: bool,
    kept: Path | None,
    plot: Path | None,
) -> None:
    """Plot figures over time; fail when the latest run is worse than those before it.

    It is held against the run before that was run alike, and against the median of the last five
    such runs: a loss that creeps shows there.

    \b
    Example:
      scanside bench history --bench latency --of engine=onnxruntime --plot history.html
    """
    from scanside.benchmarks.evidence.compare import counted, fail_on
    from scanside.benchmarks.evidence.pictures import check_format, over_time, write_picture
    from scanside.benchmarks.evidence.record import HISTORY, read_records
    from scanside.benchmarks.evidence.shown import latest_tables, reasons_in_words
    from scanside.benchmarks.evidence.timeline import Wanted, review
    from scanside.benchmarks.tables import show
    from scanside.runtime.errors import RecordError

    kept = kept or HISTORY
    picture = plot or kept.parent / "history.png"
    check_format(picture)
    of = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign:
            raise click.BadParameter(f"{pair} is no KEY=VALUE", param_hint="--of")
        of[key] = value
    wanted = Wanted(benches=frozenset(benches), metrics=frozenset(metrics), of=of)
    found = review(read_records(kept), wanted, least=least, times=times)
    if not found.lines:
        raise RecordError(
            f"no figure in {kept.name} is like that",
            next_step="leave out --bench, --metric or --of to see what is there",
        )
    show(*latest_tables(found))
    _say_reasons(reasons_in_words(found.changes))
    for note in found.notes:
        click.echo(f"note: {note}")
    write_picture(picture, over_time(found), "Figures over time")
    runs = sum(len(one) for one in found.runs.values())
    click.echo(f"{runs} runs; {counted(found.changes) or 'nothing to judge'}; picture: {picture}")
    fail_on(found.regressions)
