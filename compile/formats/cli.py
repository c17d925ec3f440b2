"""The verb `export`."""

from __future__ import annotations

from pathlib import Path

import click

DEFAULT_MODEL = {"monai-bundle": "cpu", "triton": "cpu", "onnx": "reference"}


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--format", "form", type=click.Choice(list(DEFAULT_MODEL)), required=True, help="What to write."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="monai-bundle: the folder. triton: the model repository. onnx: the file.",
)
@click.option(
    "--model",
    type=click.Choice(["cpu", "reference", "trt"]),
    help="Which of the bundle's networks [onnx: reference; the others: cpu].",
)
@click.option("--force", is_flag=True, help="Replace an earlier export.")
def export(bundle: Path, form: str, out: Path, model: str | None, force: bool) -> None:
    """Export the bundle FILE for other servers: a MONAI bundle, a Triton repository or bare ONNX.

    An export stands outside the bundle's signature, its golden self-test and the daemon's guard.

    \b
    Example:
      scanside export ct.scanside --format monai-bundle --out ct-monai
      scanside export ct.scanside --format triton --out model_repository --model reference
      scanside export ct.scanside --format onnx --out ct.onnx
    """
    from scanside.compile.formats.bare_onnx import write_onnx
    from scanside.compile.formats.monai_bundle import write_monai
    from scanside.compile.formats.triton import write_triton
    from scanside.compile.formats.usage import CAUTION, MODELS
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.errors import CompileError

    writers = {"monai-bundle": write_monai, "triton": write_triton, "onnx": write_onnx}
    source = Bundle.open(bundle)
    member = MODELS[model or DEFAULT_MODEL[form]]
    try:
        made = writers[form](source, member, out, force)
    except OSError as error:
        raise CompileError(
            f"{out} cannot be written: {error.strerror}", next_step="choose another --out"
        ) from error
    acceptance = source.manifest.acceptance
    for warning in acceptance.warnings if acceptance else ():
        click.echo(f"WARNING: {warning}", err=True)
    click.echo(f"note: {CAUTION}", err=True)
    click.echo(f"wrote {made}: {member} of {source.manifest.name} {source.manifest.version}")
