"""The page on a terminal: what is green in one line each, what is not with what to do about it."""

from __future__ import annotations

import click

from scanside.jetson.doctor.verdict import Check, Page, Verdict

SIGNS = {Verdict.GREEN: "✓", Verdict.YELLOW: "!", Verdict.RED: "✗", Verdict.NOT_JUDGED: "–"}
_COLOURS = {
    Verdict.GREEN: "green",
    Verdict.YELLOW: "yellow",
    Verdict.RED: "red",
    Verdict.NOT_JUDGED: "bright_black",
}
SUMS = {
    Verdict.GREEN: "This device is ready.",
    Verdict.YELLOW: "No fault found; heed what is yellow.",
    Verdict.RED: "This device is not ready.",
}
_TITLE = 26


def print_page(page: Page) -> None:
    for title, checks in page.groups().items():
        click.secho(title, bold=True)
        for check in checks:
            _print(check)
    click.echo()
    click.secho(f"{SUMS[page.verdict]} {tally(page)}", fg=_COLOURS[page.verdict], bold=True)


def tally(page: Page) -> str:
    counts = ((one, page.count(one)) for one in Verdict)
    return ", ".join(f"{count} {one.value}" for one, count in counts if count) + "."


def _print(check: Check) -> None:
    sign = click.style(SIGNS[check.verdict], fg=_COLOURS[check.verdict], bold=True)
    click.echo(f"  {sign} {check.title:<{_TITLE}} {check.found}")
    if check.verdict in (Verdict.RED, Verdict.YELLOW):
        if check.expected:
            click.echo(f"      expected: {check.expected}")
        if check.next_step:
            click.echo(f"      next: {check.next_step}")
