"""`scanside device install`: a bundle onto this device, tested before it is active."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from scanside.jetson.cli.running import PATH, run_steps, step_options
from scanside.jetson.cli.store_options import store_options
from scanside.runtime.cli.engine_options import engine_options
from scanside.runtime.cli.finite import POSITIVE


@click.command("install")
@click.argument("file", type=PATH)
@store_options
@engine_options
@click.option("--force", is_flag=True, help="Take a bundle that is older than one before, too.")
@click.option("--build", is_flag=True, help="Build a plan though FILE brings some, of others.")
@click.option(
    "--time-limit",
    type=POSITIVE,
    default=30.0,
    show_default=True,
    metavar="MINUTES",
    help="For the building of the plan.",
)
@step_options
def command(
    file: Path,
    store: str,
    allow_unsigned: bool,
    engine: str,
    threads: int | None,
    force: bool,
    build: bool,
    time_limit: float,
    **options: Any,
) -> None:
    """Verify the bundle FILE, build its plan, test it on its golden frames, make it the active one.

    A daemon that runs takes it over between two frames; else the next start does. Whatever fails,
    what was active stays active. Not verified on hardware.

    \b
    Example:
      sudo scanside device install ct.scanside --dry-run
      sudo scanside device install ct.scanside
    """
    from scanside.jetson.install import Order, install_steps
    from scanside.jetson.machine import Machine
    from scanside.runtime.phase_bar import phase_bars

    with phase_bars() as show:
        order = Order(
            machine=Machine(options["root"]),
            file=file,
            engine=engine,
            threads=threads,
            allow_unsigned=allow_unsigned,
            force=force,
            build=build,
            plan_limit_s=time_limit * 60,
            store=store,
            told=lambda text: click.echo(f"  {text}", err=True),
            show=show,
        )
        run_steps("install", install_steps(order), **options)
