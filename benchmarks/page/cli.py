"""The verb `bench report`."""

from __future__ import annotations

from pathlib import Path

import click

from scanside.benchmarks.evidence.kept import PATH


@click.command()
@click.option("--history", type=PATH, help="The records to show [runs/bench/history.jsonl].")
@click.option(
    "--out", type=PATH, metavar="FILE", help="The page [report.html by the history; README: none]."
)
@click.option(
    "--readme",
    type=PATH,
    metavar="FILE",
    help="Rewrite the table between this file's markers, from --history.",
)
def report(history: Path | None, out: Path | None, readme: Path | None) -> None:
    """One page of everything that was measured last, and README's table.

    The page needs no network and no other file: tables with intervals, pictures, bars, and machine,
    versions, commit, bundle and data of each run.

    \b
    Example:
      scanside bench report
      scanside bench report --history docs/measured.jsonl --readme README.md
    """
    from scanside.benchmarks.evidence.record import HISTORY, read_records
    from scanside.benchmarks.page.page import write_page
    from scanside.benchmarks.page.readme import rewrite

    history = history or HISTORY
    records = read_records(history)
    if readme is not None:
        changed = rewrite(readme, records)
        click.echo(f"{readme}: {'rewritten' if changed else 'unchanged'}")
    if readme is None or out is not None:
        page = out or history.parent / "report.html"
        write_page(page, records)
        click.echo(f"page: {page}")
