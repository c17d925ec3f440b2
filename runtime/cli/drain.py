"""`scanside drain`: have a daemon answer what it has, and stop."""

from __future__ import annotations

from pathlib import Path

import click

from scanside.runtime.cli.control_option import control_option


@click.command()
@control_option
def drain(to: Path | None) -> None:
    """Have the running daemon answer the frames that wait, take no more, and stop.

    \b
    Example:
      scanside drain --to /run/scanside/control
    """
    from scanside.runtime.control import Drain, command, control_path

    command(control_path(to), Drain())
    click.echo("draining")
