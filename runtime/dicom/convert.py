"""Files and folders of DICOM -> derived DICOM, whatever it is that enhances the pixels."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scanside.runtime.dicom.derive import ModelNote, SeriesUids, derive
from scanside.runtime.dicom.read import DIRECTORY, NOT_DICOM, read_image
from scanside.runtime.dicom.write import refuse_existing, write_image
from scanside.runtime.errors import (
    ImageError,
    NoImagesError,
    OutputExistsError,
    PartialError,
    ScansideError,
    TransportError,
)
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.progress import task

Run = Callable[[Pixels, Sequence[FrameFacts]], Pixels]
"""(N, R, C) words and N facts -> (N, R * scale, C * scale) words of the same dtype. Raises a
ScansideError for an image that is not to be written."""


@dataclass(frozen=True)
class Summary:
    """Images and frames written; files of a folder that are not DICOM images and were passed."""

    images: int
    frames: int
    passed: int


def convert(
    source: Path, destination: Path, run: Run, model: ModelNote, *, overwrite: bool = False
) -> Summary:
    """Enhance one file, or every image in a folder and its subfolders, to derived images.

    For a file, `destination` is a file or an existing folder; for a folder it is a folder that
    gets the same relative names. What is not DICOM, and DICOMDIR, is passed in a folder and an
    error if named. A file of a folder that fails is reported on stderr and the others go on; then
    PartialError is raised, or the first error itself if nothing could be written. TransportError
    ends everything at once. Raises NoImagesError if there is nothing to read and OutputExistsError
    before anything is done if a result is there already.
    """
    series = SeriesUids()
    if not source.is_dir():
        if not source.exists():
            raise NoImagesError("there is no such file or folder", next_step="check the path")
        target = destination / source.name if destination.is_dir() else destination
        _refuse_source(source, target)
        if not overwrite:
            refuse_existing(target)
        frames = _convert_one(source, target, run, model, series, overwrite)
        return Summary(images=1, frames=frames, passed=0)
    return _convert_folder(source, destination, run, model, series, overwrite)


def _convert_folder(
    source: Path,
    destination: Path,
    run: Run,
    model: ModelNote,
    series: SeriesUids,
    overwrite: bool,
) -> Summary:
    if destination.exists() and not destination.is_dir():
        raise OutputExistsError(
            "the destination is a file, the source is a folder", next_step="name a folder"
        )
    names = _files(source, destination)
    for name in names:
        _refuse_source(source / name, destination / name)
        if not overwrite:
            refuse_existing(destination / name)
    images = frames = passed = 0
    failures: list[ScansideError] = []
    with task("enhancing", len(names)) as progress:
        for name in names:
            try:
                frames += _convert_one(
                    source / name, destination / name, run, model, series, overwrite
                )
                images += 1
            except TransportError:
                raise
            except ScansideError as error:
                if isinstance(error, ImageError) and error.reason in (NOT_DICOM, DIRECTORY):
                    passed += 1
                else:
                    failures.append(error)
                    sys.stderr.write(f"{_printable(name)}: {error}\n")
            progress.advance()
    if failures and not images:
        raise failures[0]
    if not images:
        raise NoImagesError(
            "the folder holds no DICOM images", next_step="name a folder that holds DICOM files"
        )
    if failures:
        raise PartialError(
            f"{len(failures)} of {images + len(failures)} images failed, the others are written",
            next_step="see the line of each above; their originals are as they were",
        )
    return Summary(images=images, frames=frames, passed=passed)


def _convert_one(
    source: Path,
    target: Path,
    run: Run,
    model: ModelNote,
    series: SeriesUids,
    overwrite: bool,
) -> int:
    image = read_image(source)
    pixels = run(image.words, image.facts)
    write_image(derive(image, pixels, model, series), target, overwrite=overwrite)
    return len(image.facts)


def _files(source: Path, destination: Path) -> list[Path]:
    """Relative names of what is in the folder, without results of an earlier run inside it."""
    inside = destination.resolve()
    names = []
    for folder, subfolders, files in os.walk(source):
        here = Path(folder)
        subfolders[:] = sorted(s for s in subfolders if (here / s).resolve() != inside)
        names += [(here / file).relative_to(source) for file in sorted(files)]
    return [name for name in names if (source / name).is_file()]


def _refuse_source(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        raise OutputExistsError(
            "the result would replace its own source",
            next_step="choose another destination",
            reason="output exists",
        )


def _printable(name: Path) -> str:
    """A file name may hold anything, control sequences of a terminal included."""
    return "".join(c if c.isprintable() else "?" for c in str(name))
