"""Files and folders of DICOM, and of NIfTI beside it, -> derived ones, whatever enhances them."""

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
from scanside.runtime.nifti.convert import VolumeRules, check_names, convert_volume
from scanside.runtime.nifti.read import check_pair, is_nifti
from scanside.runtime.progress import Task, task

Run = Callable[[Pixels, Sequence[FrameFacts]], Pixels]
"""(N, R, C) words and N facts -> (N, R * scale, C * scale) words of the same dtype. Raises a
ScansideError for an image that is not to be written."""


@dataclass(frozen=True)
class Summary:
    """DICOM images, NIfTI volumes and their frames written; files of a folder that are neither and
    were passed."""

    images: int
    frames: int
    passed: int
    volumes: int = 0


def convert(
    source: Path,
    destination: Path,
    run: Run,
    model: ModelNote,
    *,
    overwrite: bool = False,
    volumes: VolumeRules | None = None,
) -> Summary:
    """Enhance one file, or every image in a folder and its subfolders, to derived images.

    For a file, `destination` is a file or an existing folder; for a folder it is a folder that
    gets the same relative names. What is not DICOM, and DICOMDIR, is passed in a folder and an
    error if named; with `volumes`, .nii and .nii.gz files are enhanced as well. A file of a folder
    that fails is reported on stderr and the others go on; then PartialError is raised, or the
    first error itself if nothing could be written. TransportError ends everything at once. Raises
    NoImagesError if there is nothing to read and OutputExistsError before anything is done if a
    result is there already.
    """
    one = _Conversion(run, model, overwrite, volumes)
    if not source.is_dir():
        if not source.exists():
            raise NoImagesError("there is no such file or folder", next_step="check the path")
        target = destination / source.name if destination.is_dir() else destination
        _refuse_source(source, target)
        if volumes is not None:
            check_names(source, target)
        if not overwrite:
            refuse_existing(target)
        with task("enhancing", 1) as progress:
            one.convert(source, target, progress)
        return one.summary(passed=0)
    return _convert_folder(source, destination, one)


class _Conversion:
    """What is alike for all files of one call, and the count of what it has written."""

    def __init__(
        self, run: Run, model: ModelNote, overwrite: bool, rules: VolumeRules | None
    ) -> None:
        self._run = run
        self._model = model
        self.overwrite = overwrite
        self.rules = rules
        self._series = SeriesUids()
        self._images = self._volumes = self._frames = 0

    def convert(self, source: Path, target: Path, progress: Task) -> None:
        if self.rules is not None:
            check_pair(source)
            if is_nifti(source):
                self._convert_volume(source, target, self.rules, progress)
                return
        image = read_image(source)
        pixels = self._run(image.words, image.facts)
        derived = derive(image, pixels, self._model, self._series)
        write_image(derived, target, overwrite=self.overwrite)
        self._images += 1
        self._frames += len(image.facts)

    def _convert_volume(
        self, source: Path, target: Path, rules: VolumeRules, progress: Task
    ) -> None:
        def tell(done: int, frames: int) -> None:
            progress.advance(0, note=f"slice {done}/{frames}" if done < frames else "")

        self._frames += convert_volume(
            source, target, self._run, self._model, rules, overwrite=self.overwrite, tell=tell
        )
        self._volumes += 1

    @property
    def written(self) -> int:
        return self._images + self._volumes

    def summary(self, passed: int) -> Summary:
        return Summary(self._images, self._frames, passed, self._volumes)


def _convert_folder(source: Path, destination: Path, one: _Conversion) -> Summary:
    if destination.exists() and not destination.is_dir():
        raise OutputExistsError(
            "the destination is a file, the source is a folder", next_step="name a folder"
        )
    names = _files(source, destination)
    for name in names:
        _refuse_source(source / name, destination / name)
        if not one.overwrite:
            refuse_existing(destination / name)
    passed = 0
    failures: list[ScansideError] = []
    with task("enhancing", len(names)) as progress:
        for name in names:
            try:
                one.convert(source / name, destination / name, progress)
            except TransportError:
                raise
            except ScansideError as error:
                if isinstance(error, ImageError) and error.reason in (NOT_DICOM, DIRECTORY):
                    passed += 1
                else:
                    failures.append(error)
                    sys.stderr.write(f"{_printable(name)}: {error}\n")
            progress.advance()
    if failures and not one.written:
        raise failures[0]
    if not one.written:
        kinds = "DICOM" if one.rules is None else "DICOM or NIfTI"
        raise NoImagesError(
            f"the folder holds no {kinds} images",
            next_step=f"name a folder that holds {kinds} files",
        )
    if failures:
        raise PartialError(
            f"{len(failures)} of {one.written + len(failures)} images failed, the others are "
            "written",
            next_step="see the line of each above; their originals are as they were",
        )
    return one.summary(passed)


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
