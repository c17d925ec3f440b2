"""`scanside enhance`: files or folders of DICOM and NIfTI through a model, in this process."""

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
@click.option(
    "--modality", metavar="CODE", help="Of NIfTI files (CT, MR ...), if the model is for several."
)
def enhance(
    bundle: Path,
    source: Path,
    destination: Path,
    engine: str,
    threads: int | None,
    overwrite: bool,
    modality: str | None,
) -> None:
    """Enhance DICOM images and NIfTI volumes with the model in the bundle FILE.

    SRC is an image or a folder of images; DST gets derived images under the same names. The
    originals are only read. What fails is reported and left out, and the exit code says so.

    NIfTI becomes NIfTI, slice by slice in the plane of its first two axes. Text in its header and
    header extensions may name a patient: they are not copied.

    \b
    Example:
      scanside enhance ct.scanside scans/ enhanced/
      scanside enhance ct.scanside slice.dcm better.dcm --engine openvino --threads 2
      scanside enhance mr.scanside brain.nii.gz better.nii.gz
    """
    from scanside.runtime.admission import admit
    from scanside.runtime.bundle import Bundle
    from scanside.runtime.dicom.convert import convert
    from scanside.runtime.dicom.derive import ModelNote
    from scanside.runtime.engines.choose import open_engine
    from scanside.runtime.golden import check_engine
    from scanside.runtime.nifti.convert import volume_rules

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
        rules = volume_rules(model.manifest, modality)
        done = convert(source, destination, run, note, overwrite=overwrite, volumes=rules)
    finally:
        running.close()
    counts = [f"{done.images} images"] if done.images or not done.volumes else []
    counts += [f"{done.volumes} volumes"] if done.volumes else []
    counts += [f"{done.frames} frames enhanced"]
    counts += [f"{done.passed} other files passed"] if done.passed else []
    click.echo(", ".join(counts))
