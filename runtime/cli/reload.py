"""`scanside reload`: have a daemon read its keys again."""

from __future__ import annotations

from pathlib import Path

import click

from scanside.runtime.cli.control_option import control_option


@click.command()
@control_option
def reload(to: Path | None) -> None:
    """Have the running daemon read again which keys it trusts, and which clients it lets in.

    A model whose key was revoked is taken off; a client that is no longer known loses its session.

    \b
    Example:
      scanside reload --to /run/scanside/control
    """
    from scanside.runtime.control import Done, Reload, command, control_path

    answer = command(control_path(to), Reload())
    click.echo(answer.text if isinstance(answer, Done) else "done")
