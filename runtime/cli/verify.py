"""`scanside verify`: whether a bundle is whole and by a key that is trusted here."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=PATH)
@click.option(
    "--trust",
    "folder",
    type=PATH,
    help="Folder of public keys [SCANSIDE_TRUST, else /etc/scanside/trust].",
)
@click.option("--replacing", type=PATH, metavar="OLD", help="Refuse FILE if it is older than OLD.")
def verify(file: Path, folder: Path | None, replacing: Path | None) -> None:
    """Verify the bundle FILE: every byte, and its signature.

    Ends with 0 only for a bundle that a trusted key signed.

    \b
    Example:
      scanside verify ct.scanside --trust keys/
      scanside verify new.scanside --replacing installed.scanside
    """
    from scanside.runtime.bundle import Bundle, insist_on_signature, refuse_downgrade
    from scanside.runtime.signing import Trust

    trust = Trust.here() if folder is None else Trust.load(folder)
    bundle = Bundle.open(file, trust)
    insist_on_signature(bundle, file)
    if replacing is not None:
        refuse_downgrade(bundle.manifest, Bundle.open(replacing, trust).manifest)
    manifest = bundle.manifest
    click.echo(
        f"{manifest.name} {manifest.version}, serial {manifest.serial}, "
        f"identity {bundle.identity[:16]}: whole, signed with {bundle.signer[:16]}"
    )
