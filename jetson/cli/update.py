"""`scanside device update`: another version of the application, and back by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from scanside.jetson.cli.running import PATH, run_steps, step_options
from scanside.runtime.cli.finite import POSITIVE


@click.command("update")
@click.argument("package", type=PATH, metavar="[PACKAGE]", required=False)
@click.option("--back", is_flag=True, help="To the version that was current before.")
@click.option("--force", is_flag=True, help="To an older version, too.")
@click.option("--allow-unsigned", is_flag=True, help="Take an unsigned package too.")
@click.option(
    "--limit",
    type=POSITIVE,
    default=15.0,
    show_default=True,
    metavar="MINUTES",
    help="From the start of the new version to READY; it may have to build its plan.",
)
@step_options
def command(
    package: Path | None,
    back: bool,
    force: bool,
    allow_unsigned: bool,
    limit: float,
    **options: Any,
) -> None:
    """Install the application from the offline PACKAGE beside the one that runs, switch to it and
    see it READY; else the one before comes back, after a power cut too.

    \b
    Example:
      sudo scanside device update scanside-0.2.0-jp6.2 --dry-run
      sudo scanside device update scanside-0.2.0-jp6.2.tar
      sudo scanside device update --back
    """
    from scanside.jetson.application import back_steps, update_steps
    from scanside.jetson.install.checks import trust_of
    from scanside.jetson.machine import Machine

    if (package is None) != back:
        raise click.UsageError("name either a PACKAGE or --back")
    machine = Machine(options["root"])

    def told(state: str) -> None:
        click.echo(f"  {state} ...", err=True)

    if package is None:
        run_steps("update", back_steps(machine, limit_s=limit * 60, told=told), **options)
        return
    from scanside.jetson.package import open_package

    opened = open_package(package, trust_of(machine), allow_unsigned=allow_unsigned)
    steps = update_steps(machine, opened, force=force, limit_s=limit * 60, told=told)
    run_steps("update", steps, **options)
