"""`python -m scanside.jetson.inventory`, in a checkout: `make sbom` and `make soup` call it."""

from __future__ import annotations

from pathlib import Path

import click

from scanside.jetson.inventory.parts import Part, parts_of, pinned_parts, supported
from scanside.runtime.files import make_folder, replace_file
from scanside.runtime.platforms import releases

CONSTRAINTS = click.option(
    "--constraints",
    type=click.Path(path_type=Path, exists=True),
    default=Path("constraints.txt"),
    show_default=True,
)
OUT = click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE")


@click.group()
def inventory() -> None:
    """List what a device's installation is made of."""


@inventory.command()
@CONSTRAINTS
@OUT
def soup(constraints: Path, out: Path) -> None:
    """Write the SOUP list, docs/soup.md."""
    from scanside.jetson.inventory.soup import soup_page

    _write(out, soup_page(pinned_lists(constraints)))


@inventory.command()
@click.option(
    "--jetpack",
    required=True,
    type=click.Choice([one.jetpack for one in releases().values() if not one.refused]),
)
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="An offline package's folder of wheels: list these instead of the pinned versions.",
)
@CONSTRAINTS
@OUT
def sbom(jetpack: str, wheels: Path | None, constraints: Path, out: Path) -> None:
    """Write the CycloneDX JSON of a device's installation."""
    from scanside.jetson.inventory.sbom import sbom as listed

    release = releases()[jetpack]
    parts = (
        parts_of(sorted(wheels.glob("*.whl")), release)
        if wheels
        else pinned_parts(release, constraints)
    )
    _write(out, listed(parts, release))


def pinned_lists(constraints: Path) -> dict[str, dict[str, Part]]:
    """By the heading of each column."""
    return {
        f"JetPack {one.jetpack.split('.')[0]} (Python {one.python})": pinned_parts(one, constraints)
        for one in supported()
    }


def _write(out: Path, text: str) -> None:
    make_folder(out.parent)
    with replace_file(out) as stream:
        stream.write(text.encode())
    click.echo(str(out))


if __name__ == "__main__":
    inventory()
