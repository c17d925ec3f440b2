"""`scanside swap`: another model for a daemon that serves, without a frame lost."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=PATH, metavar="[FILE]", required=False)
@click.option("--rollback", is_flag=True, help="Go back to the store's previous bundle.")
@click.option(
    "--to",
    type=PATH,
    metavar="SOCKET",
    help="The daemon's control socket [SCANSIDE_CONTROL, else /run/scanside/control].",
)
@click.option("--force", is_flag=True, help="Take a bundle that is older than one before, too.")
def swap(file: Path | None, rollback: bool, to: Path | None, force: bool) -> None:
    """Give the running daemon the bundle FILE.

    The daemon verifies it, builds its engine and tests it on the golden frames while the model
    that it has goes on serving; then, between two frames, the new one takes over. If anything
    fails, the old one stays and the reason is said. A daemon with a store starts with the new one
    from then on.

    \b
    Example:
      scanside swap ct-2.scanside
      scanside swap --rollback --to /run/scanside/control
    """
    from scanside.runtime.control import Done, Swap, command, control_path

    if (file is None) != rollback:
        raise click.UsageError("name either the bundle's FILE or --rollback")
    order = Swap(file=str(file.absolute()) if file else "", rollback=rollback, force=force)
    done = command(
        control_path(to), order, progress=lambda state: click.echo(f"{state.lower()} ...", err=True)
    )
    assert isinstance(done, Done)
    model = done.model
    assert model is not None
    unsigned = "" if model.signed else ", unsigned"
    click.echo(
        f"swapped: {model.name} {model.version} ({model.identity[:12]}{unsigned}), {model.engine}"
    )
