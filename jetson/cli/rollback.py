"""`scanside device rollback`: the bundle that was active before."""

from __future__ import annotations

from typing import Any

import click

from scanside.jetson.cli.running import run_steps, step_options
from scanside.jetson.cli.store_options import store_options


@click.command("rollback")
@store_options
@step_options
def command(store: str, allow_unsigned: bool, **options: Any) -> None:
    """Make the bundle that was active before the active one again; said twice, it is back where it
    was.

    A daemon that runs tests it and takes it over between two frames; else the next start does. For
    the application itself: scanside device update --back.

    \b
    Example:
      sudo scanside device rollback
    """
    from scanside.jetson.install.keeping import rollback_steps
    from scanside.jetson.machine import Machine

    steps = rollback_steps(
        Machine(options["root"]),
        store,
        allow_unsigned=allow_unsigned,
        told=lambda text: click.echo(f"  {text}", err=True),
    )
    run_steps("rollback", steps, **options)
