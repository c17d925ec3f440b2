"""The verbs `compile`, `sign` and `sbom`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("compile")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The bundle to write: FILE.scanside",
)
@click.option(
    "--target", metavar="NAME", help="The device it is for: see `scanside targets` [any]."
)
@click.option(
    "--repair", is_flag=True, help="Where INT8 loses too much, return the fewest layers to float."
)
@click.option("--force", is_flag=True, help="Replace the bundle if it exists.")
def compile_(run: Path, out: Path, target: str | None, repair: bool, force: bool) -> None:
    """Compile RUN, a folder that `scanside train` wrote, into one bundle.

    Exports to ONNX, proves that INT8 lost no more than 0.1 dB against its float control in the mean
    and 0.3 dB on any case, makes the golden frames that every engine must pass, and writes the
    bundle, with a page of all that was measured beside it; or says why not.

    \b
    Example:
      scanside compile runs/ct --out ct.scanside --target orin-nx-16gb-jp6.2
    """
    from scanside.compile.build import compile_run
    from scanside.runtime.platforms import find_target

    device = find_target(target) if target else None
    bundle = compile_run(
        run,
        out,
        lambda line: click.echo(line, err=True),
        target=device,
        force=force,
        mend=repair,
    )
    acceptance = bundle.manifest.acceptance
    for name, value in acceptance.figures.items() if acceptance else ():
        unit = "" if name.startswith("contrast") else " dB"  # a share
        click.echo(f"  {name}: {value:.3f}{unit}")
    click.echo(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB); next: scanside inspect {out}")
    click.echo(f"what was measured: {out.with_suffix('.html')}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    required=True,
    help="The private key that `scanside keys new` made.",
)
@click.option("--out", type=click.Path(path_type=Path), help="[FILE itself]")
def sign(file: Path, key: Path, out: Path | None) -> None:
    """Sign the bundle FILE. Its content and its identity stay what they are.

    \b
    Example:
      scanside keys new release-2026
      scanside sign ct.scanside --key release-2026
    """
    from scanside.compile.pack import sign_bundle
    from scanside.runtime.signing import load_private_key

    bundle = sign_bundle(file, load_private_key(key), out or file)
    click.echo(
        f"signed {out or file} with {bundle.signer[:16]}; next: scanside verify {out or file}"
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), help="[standard output]")
def sbom(file: Path | None, out: Path | None) -> None:
    """List what the bundle FILE is made of, or without one this installation, as CycloneDX JSON.

    \b
    Example:
      scanside sbom ct.scanside --out ct.cdx.json
      scanside sbom --out install.cdx.json
    """
    from scanside.compile.sbom import bundle_sbom, install_sbom
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.files import replace_file

    text = install_sbom() if file is None else bundle_sbom(Bundle.open(file))
    if out is None:
        click.echo(text)
        return
    with replace_file(out) as stream:
        stream.write(text.encode())
