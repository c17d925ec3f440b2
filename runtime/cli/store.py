"""`scanside store`: the bundles on this device, and which of them is active."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from scanside.runtime.bundle import Bundle

PATH = click.Path(path_type=Path)
DEFAULT = Path("/var/lib/scanside")
_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group()
def store() -> None:
    """The bundles on this device. A running daemon is given another one by `scanside swap`.

    \b
    Example:
      scanside store install ct.scanside
      scanside store list
    """


def _options(command: _Command) -> _Command:
    folder = click.option(
        "--store", "folder", type=PATH, default=DEFAULT, show_default=True, metavar="FOLDER"
    )
    unsigned = click.option("--allow-unsigned", is_flag=True, help="Take unsigned bundles too.")
    return folder(unsigned(command))


@store.command()
@click.argument("file", type=PATH)
@_options
@click.option("--force", is_flag=True, help="Take a bundle that is older than one before, too.")
def install(file: Path, folder: Path, allow_unsigned: bool, force: bool) -> None:
    """Verify the bundle FILE, keep a copy and make it what the daemon starts with.

    \b
    Example:
      scanside store install ct.scanside --store /var/lib/scanside
    """
    from scanside.runtime.store import Store

    place = Store(folder, allow_unsigned=allow_unsigned)
    installed = place.install(file, force=force)
    _say_active(place.activate(installed.sha256, force=force))


@store.command()
@_options
def rollback(folder: Path, allow_unsigned: bool) -> None:
    """Make the previous bundle what the daemon starts with.

    \b
    Example:
      scanside store rollback
    """
    from scanside.runtime.store import Store

    _say_active(Store(folder, allow_unsigned=allow_unsigned).rollback())


@store.command("list")
@_options
def list_(folder: Path, allow_unsigned: bool) -> None:
    """List the bundles, each verified, one a line: sha256, name, version, serial, its place.

    \b
    Example:
      scanside store list
    """
    from scanside.runtime.errors import ScansideError
    from scanside.runtime.store import Store

    place = Store(folder, allow_unsigned=allow_unsigned)
    chosen = place.chosen()
    for sha256 in place.held():
        mark = {chosen.active: "active", chosen.previous: "previous"}.get(sha256, "")
        try:
            manifest = place.open(sha256).manifest
            what = f"{manifest.name} {manifest.version}, serial {manifest.serial}"
        except ScansideError as error:
            what = f"cannot be served: {error.message}"
        click.echo(f"{sha256[:16]}  {what}  {mark}".rstrip())


@store.command()
@_options
def prune(folder: Path, allow_unsigned: bool) -> None:
    """Remove every bundle but the active and the previous one, and plans of neither.

    \b
    Example:
      scanside store prune
    """
    from scanside.runtime.store import Store

    for sha256 in Store(folder, allow_unsigned=allow_unsigned).prune():
        click.echo(f"removed {sha256[:16]}")


def _say_active(bundle: Bundle) -> None:
    manifest = bundle.manifest
    click.echo(f"active: {manifest.name} {manifest.version} ({bundle.identity[:12]})")
    click.echo("next: a running daemon takes it when it starts again", err=True)
