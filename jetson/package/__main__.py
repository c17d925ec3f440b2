"""`python -m scanside.jetson.package`, on a workstation: `make offline-package` calls it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import click

from scanside.runtime.errors import PackageError, ScansideError

PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.option("--jetpack", required=True, metavar="6.2", help="The device's JetPack.")
@click.option("--out", type=PATH, default=Path("dist"), show_default=True, metavar="FOLDER")
@click.option("--bundle", "bundles", type=FILE, multiple=True, help="A bundle to bring along.")
@click.option("--key", type=FILE, help="The private key that signs the package.")
@click.option("--trust", type=FILE, multiple=True, help="A public key to bring along.")
@click.option("--unsigned", is_flag=True, help="Leave it unsigned: for a trial.")
@click.option("--extra-wheels", type=FOLDER, help="Wheels compiled for aarch64: pycuda.")
@click.option("--python", default="", metavar="3.11", help="For a rehearsal without a Jetson.")
@click.option("--source", type=FOLDER, default=Path(), help="The checkout to pack [here].")
def main(
    jetpack: str,
    out: Path,
    bundles: tuple[Path, ...],
    key: Path | None,
    trust: tuple[Path, ...],
    unsigned: bool,
    extra_wheels: Path | None,
    python: str,
    source: Path,
) -> None:
    """Pack everything that a blank Jetson needs into one folder and its .tar."""
    from scanside.jetson.package.build import Order, build_package
    from scanside.jetson.package.page import readable

    began = time.monotonic()
    try:
        if (key is None) is not unsigned:
            raise PackageError(
                "a package is signed by a key, or unsigned by an explicit word",
                next_step="KEY=FILE (`scanside keys new FILE` makes one), or UNSIGNED=yes",
            )
        order = Order(
            source=source,
            jetpack=jetpack,
            epoch=_epoch(source),
            bundles=bundles,
            key=key,
            trust=trust,
            extra=sorted(extra_wheels.glob("*.whl")) if extra_wheels else (),
            python=python,
        )
        tar, contents = build_package(order, out)
    except ScansideError as error:
        click.secho(error.message, fg="red", err=True)
        click.echo(f"  next: {error.next_step}", err=True)
        sys.exit(error.exit_code)
    sizes: dict[str, list[int]] = {}
    for file in contents.files:
        sizes.setdefault(file.name.rpartition("/")[0] or ".", []).append(file.size)
    for place, here in sorted(sizes.items()):
        click.echo(f"{place:<10}{len(here):>4} files {readable(sum(here)):>10}")
    for file in sorted(contents.files, key=lambda file: -file.size)[:5]:
        click.echo(f"  {readable(file.size):>10}  {file.name}")
    click.echo(f"{tar}  {readable(tar.stat().st_size)}  {time.monotonic() - began:.0f} s")
    if contents.missing:
        click.secho(
            f"for the CPU engine only: {', '.join(contents.missing)} is missing "
            "(compile it on a builder, EXTRA_WHEELS=FOLDER)",
            fg="red",
        )


def _epoch(source: Path) -> int:
    """The package's time: SOURCE_DATE_EPOCH, or else that of the checkout's last commit."""
    named = os.environ.get("SOURCE_DATE_EPOCH", "")
    if named.isdigit():
        return int(named)
    command = ["git", "-C", str(source), "log", "-1", "--format=%ct"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise PackageError(
            f"{source.resolve().name} is no git checkout, so the package's time is unknown",
            next_step="set SOURCE_DATE_EPOCH to seconds since 1970",
        ) from error
    return int(done.stdout.strip())


if __name__ == "__main__":
    main()
