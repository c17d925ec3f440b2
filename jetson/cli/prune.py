"""`scanside device prune`: room on the disk."""

from __future__ import annotations

from typing import Any

import click

from scanside.jetson.cli.running import run_steps, step_options
from scanside.jetson.cli.store_options import store_options


@click.command("prune")
@store_options
@step_options
def command(store: str, allow_unsigned: bool, **options: Any) -> None:
    """Remove every bundle but the active and the previous one, plans of neither, and versions of
    the application that are neither current nor previous.

    \b
    Example:
      sudo scanside device prune --dry-run
    """
    from scanside.jetson.install.keeping import prune_steps
    from scanside.jetson.machine import Machine

    steps = prune_steps(Machine(options["root"]), store, allow_unsigned=allow_unsigned)
    run_steps("prune", steps, **options)
