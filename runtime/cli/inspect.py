"""`scanside inspect`: what a bundle is, what it may touch and what was proved of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.manifest import Intensity


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON, for programs.")
@click.option("--report", "report", is_flag=True, help="Print the evidence (report.json) instead.")
def inspect(file: Path, as_json: bool, report: bool) -> None:
    """Verify a bundle and show what is in it.

    \b
    Example:
      scanside inspect ct.scanside
      scanside inspect ct.scanside --json | jq .manifest.intensity
    """
    from scanside.runtime.bundle import Bundle

    if as_json and report:
        raise click.UsageError("--json and --report do not go together: choose one")
    bundle = Bundle.open(file)
    if report:
        click.echo(_report(bundle))
    elif as_json:
        click.echo(_manifest(bundle))
    else:
        _print_table(bundle)


def _report(bundle: Bundle) -> str:
    from scanside.runtime.bundle import REPORT
    from scanside.runtime.errors import BundleFormatError

    try:
        # Through the parser and out as ASCII: nothing in it can command the terminal.
        return json.dumps(json.loads(bundle.member(REPORT)), indent=2)
    except (ValueError, RecursionError) as error:
        raise BundleFormatError(
            f"{REPORT} is not JSON", next_step="compile the bundle again"
        ) from error


def _manifest(bundle: Bundle) -> str:
    from scanside.runtime.bundle import MANIFEST

    content = {
        "identity": bundle.identity,
        "signed": bundle.signed,
        "signer": bundle.signer,
        "manifest": json.loads(bundle.member(MANIFEST)),
    }
    return json.dumps(content, indent=2)


def _print_table(bundle: Bundle) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(bundle):
        # Text, because a string would be read as markup.
        table.add_row(Text(name), Text(value))
    Console().print(table)


def _rows(bundle: Bundle) -> Iterator[tuple[str, str]]:
    manifest = bundle.manifest
    yield "name", f"{manifest.name} {manifest.version}"
    if manifest.description:
        yield "description", manifest.description
    yield "identity", bundle.identity
    unsigned = "no: runs only where unsigned bundles are allowed"
    yield "signed", f"by {bundle.signer}" if bundle.signed else unsigned
    yield "task", f"{manifest.task}, {manifest.scale}x"
    yield "modality", ", ".join(manifest.modality)
    yield "intensity", _describe_intensity(manifest.intensity)
    sizes = manifest.sizes
    yield "sizes", f"{sizes.minimum} to {sizes.maximum} a side, in tiles over {sizes.tile}"
    tolerance = manifest.tolerance
    yield (
        "golden frames",
        f"differ by at most {tolerance.largest:g} (99.9%: {tolerance.p999:g}), "
        f"PSNR at least {tolerance.psnr_floor:g} dB over {tolerance.data_range:g}",
    )
    acceptance = manifest.acceptance
    if acceptance is None:
        yield "acceptance", "nothing was measured"
    else:
        over = f"{acceptance.data_range:g} {acceptance.unit}"
        yield "acceptance", f"on {acceptance.data}; PSNR over {over}"
        yield "", f"drift limit: {acceptance.drift_limit_db:g} dB"
        for name, figure in sorted(acceptance.figures.items()):
            yield "", f"{name}: {figure:.4g}"
        for warning in acceptance.warnings:
            yield "WARNING", warning
    made = manifest.provenance
    yield "recipe", f"{made.recipe}, seed {made.seed}"
    yield "data", made.data_digest or "not stated"
    yield "code", made.code_version
    for position, name in enumerate(bundle.names):
        size = len(bundle.member(name))
        yield "" if position else "members", f"{name}: {size:,} bytes"


def _describe_intensity(intensity: Intensity) -> str:
    """The intensity rule in words."""
    from scanside.runtime.manifest import Percentiles, Window

    if isinstance(intensity, Window):
        return f"window {intensity.lower:g} to {intensity.upper:g}, margin {intensity.margin:g}"
    if isinstance(intensity, Percentiles):
        return (
            f"percentiles {intensity.lower:g} to {intensity.upper:g} of each frame, "
            f"margin {intensity.margin:g} of the window"
        )
    return "the whole range of the stored bits"
