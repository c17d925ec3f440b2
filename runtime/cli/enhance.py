"""`scanside enhance`: files or folders of DICOM through a model, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanside.runtime.cli.engine_options import engine_options

if TYPE_CHECKING:
    from scanside.runtime.frame import FrameFacts, Pixels

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("bundle", type=PATH, metavar="FILE")
@click.argument("source", type=PATH, metavar="SRC")
@click.argument("destination", type=PATH, metavar="DST")
@engine_options
@click.option("--overwrite", is_flag=True, help="Replace results that are there already.")
def enhance(
    bundle: Path,
    source: Path,
    destination: Path,
    engine: str,
    threads: int | None,
    overwrite: bool,
) -> None:
    """Enhance DICOM images with the model in the bundle FILE.

    SRC is an image or a folder of images; DST gets derived images under the same names. The
    originals are only read. What fails is reported and left out, and the exit code says so.

    \b
    Example:
      scanside enhance ct.scanside scans/ enhanced/
      scanside enhance ct.scanside slice.dcm better.dcm --engine openvino --threads 2
    """
    from scanside.runtime.admission import admit
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.dicom.convert import convert
    from scanside.runtime.dicom.derive import ModelNote
    from scanside.runtime.engines.choose import open_engine
    from scanside.runtime.golden import check_engine

    model = Bundle.open(bundle)
    if not model.signed:
        click.echo("note: the model is not signed; its results say so", err=True)
    running = open_engine(model, name=engine, threads=threads)
    try:
        if engine != "auto":  # which has tested what it chose
            check_engine(running, model)

        def run(pixels: Pixels, facts: Sequence[FrameFacts]) -> Pixels:
            for frame, fact in zip(pixels, facts, strict=True):
                admit(model.manifest, fact, frame.shape, frame.dtype.name)
            return running.run(pixels, facts)

        note = ModelNote(
            name=model.manifest.name,
            version=model.manifest.version,
            identity=model.identity,
            engine=f"{running.spec.name} {running.spec.version}",
            scale=running.spec.scale,
            signed=model.signed,
        )
        done = convert(source, destination, run, note, overwrite=overwrite)
    finally:
        running.close()
    passed = f", {done.passed} other files passed" if done.passed else ""
    click.echo(f"{done.images} images, {done.frames} frames enhanced{passed}")
