"""`scanside device list`: what is installed here."""

from __future__ import annotations

from pathlib import Path

import click

from scanside.jetson.cli.running import root_option
from scanside.jetson.cli.store_options import store_options


@click.command("list")
@store_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@root_option
def command(store: str, allow_unsigned: bool, as_json: bool, root: Path) -> None:
    """List the bundles of the store, each verified, and the versions of the application.

    Serial, signer, place, engine and time of a frame as they were when it was installed, plans.

    \b
    Example:
      sudo scanside device list
    """
    import msgspec

    from scanside.jetson.install.listing import read_listing
    from scanside.jetson.machine import Machine

    found = read_listing(Machine(root), store, allow_unsigned=allow_unsigned)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    for line in found.lines():
        click.echo(line)
