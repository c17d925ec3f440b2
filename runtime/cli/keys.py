"""`scanside keys`: the keys that sign bundles, those of the wire, and what is compared of them."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.group()
def keys() -> None:
    """Keys that sign bundles, and keys that let clients in and lock the wire.

    \b
    Example:
      scanside keys new release-2026
      scanside keys new server --wire
      scanside keys show release-2026.pub server.pub
    """


@keys.command()
@click.argument("file", type=PATH)
@click.option("--wire", is_flag=True, help="A key of the wire (CURVE): FILE.key and FILE.pub.")
def new(file: Path, wire: bool) -> None:
    """Make a signing key FILE (mode 0600, keep it to yourself) and FILE.pub (give it away).

    With --wire, make a key of the wire instead: FILE.key (mode 0600) and FILE.pub. A daemon's is
    called server, a client's client; see docs/keys.md for what goes where.

    \b
    Example:
      scanside keys new release-2026
      scanside keys new /etc/scanside/wire/server --wire
      scanside keys new ~/scanside-keys/client --wire
    """
    if wire:
        _new_wire_key(file)
        return
    from scanside.runtime.signing import new_key

    made = new_key(file)
    click.echo(f"key {made}")
    click.echo(f"next: copy {file}.pub to /etc/scanside/trust on every device", err=True)


def _new_wire_key(file: Path) -> None:
    from scanside.runtime.curve import new_pair

    made = new_pair(file)
    click.echo(f"key {made}")
    click.echo(
        "next: a daemon's server.pub goes to its clients; a client's client.pub to the daemon, as "
        "/etc/scanside/wire/clients/NAME.pub",
        err=True,
    )


@keys.command()
@click.argument("files", type=PATH, nargs=-1, required=True, metavar="FILE.pub...")
def show(files: tuple[Path, ...]) -> None:
    """Print the ids of public keys of both kinds, one a line: compare them with whoever made them.

    \b
    Example:
      scanside keys show /etc/scanside/trust/*.pub
      scanside keys show /etc/scanside/wire/clients/*.pub
    """
    from scanside.runtime import curve, signing

    for file in files:
        if curve.is_wire_key(file):
            click.echo(f"{curve.key_id(curve.load_public(file))}  {file.name}  (wire)")
        else:
            key = signing.load_public_key(file)
            click.echo(f"{signing.key_id(key)}  {file.name}")
