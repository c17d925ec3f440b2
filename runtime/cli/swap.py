"""`scanside swap`: another model for a daemon that serves, without a frame lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanside.runtime.cli.control_option import control_option

if TYPE_CHECKING:
    from scanside.runtime.wire import ModelCard

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=PATH, metavar="[FILE]", required=False)
@click.option("--rollback", is_flag=True, help="Go back to the store's previous bundle.")
@control_option
@click.option("--force", is_flag=True, help="Take a bundle that is older than one before, too.")
@click.option("--status", is_flag=True, help="Change nothing: say what serves, how far a swap is.")
def swap(file: Path | None, rollback: bool, to: Path | None, force: bool, status: bool) -> None:
    """Give the running daemon the bundle FILE.

    The daemon verifies it, builds its engine and tests it on the golden frames while the model
    that it has goes on serving; then, between two frames, the new one takes over. If anything
    fails, the old one stays and the reason is said. A daemon with a store starts with the new one
    from then on.

    \b
    Example:
      scanside swap ct-2.scanside
      scanside swap --rollback --to /run/scanside/control
      scanside swap --status
    """
    from scanside.runtime.control import Ask, Done, Situation, Swap, command, control_path

    if [file is not None, rollback, status].count(True) != 1 or (status and force):
        raise click.UsageError("name either the bundle's FILE or --rollback or --status")
    if status:
        found = command(control_path(to), Ask())
        assert isinstance(found, Situation)
        click.echo(f"{found.state}: {_described(found.model) if found.model else 'no model yet'}")
        click.echo(f"swap: {found.swap or 'none'}")
        click.echo(f"store: {found.store or 'none'}")
        return
    order = Swap(file=str(file.absolute()) if file else "", rollback=rollback, force=force)
    done = command(
        control_path(to), order, progress=lambda state: click.echo(f"{state.lower()} ...", err=True)
    )
    assert isinstance(done, Done)
    assert done.model is not None
    click.echo(f"swapped: {_described(done.model)}")


def _described(model: ModelCard) -> str:
    unsigned = "" if model.signed else ", unsigned"
    return f"{model.name} {model.version} ({model.identity[:12]}{unsigned}), {model.engine}"
