"""`scanside keys`: the keys that sign bundles, and what is compared before one is trusted."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.group()
def keys() -> None:
    """Keys that sign bundles.

    \b
    Example:
      scanside keys new release-2026
      scanside keys show release-2026.pub
    """


@keys.command()
@click.argument("file", type=PATH)
def new(file: Path) -> None:
    """Make a signing key FILE (mode 0600, keep it to yourself) and FILE.pub (give it away).

    \b
    Example:
      scanside keys new release-2026
    """
    from scanside.runtime.signing import new_key

    made = new_key(file)
    click.echo(f"key {made}")
    click.echo(f"next: copy {file}.pub to /etc/scanside/trust on every device", err=True)


@keys.command()
@click.argument("files", type=PATH, nargs=-1, required=True, metavar="FILE.pub...")
def show(files: tuple[Path, ...]) -> None:
    """Print the ids of public keys, one a line: compare them with whoever made the key.

    \b
    Example:
      scanside keys show /etc/scanside/trust/*.pub
    """
    from scanside.runtime.signing import key_id, load_public_key

    for file in files:
        click.echo(f"{key_id(load_public_key(file))}  {file.name}")
