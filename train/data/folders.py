"""Folders of any mix of DICOM, NIfTI and pictures -> images to train on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from pydicom.data import get_testdata_file

from scanside.runtime.errors import ImageError, NoImagesError, SeriesError
from scanside.runtime.progress import task
from scanside.train.data.dicom_image import LOCALISER, Placed, read_frames
from scanside.train.data.dicom_series import arrange, read_series
from scanside.train.data.found import TOO_SMALL, Found, reasons
from scanside.train.data.nifti import is_nifti, read_volume
from scanside.train.data.pictures import Index, find_index, is_picture, read_picture
from scanside.train.data.slice import Slice

__all__ = ["Found", "bundled_ct", "read_folders"]

SERIES, SINGLE = "DICOM series", "single DICOM images"
VOLUMES = "NIfTI volumes"
PICTURES, GUESSED = "pictures", "pictures (patient by file name)"


class _File(NamedTuple):
    """folder: that the user typed, or that holds the file that the user typed."""

    path: Path
    folder: Path


def bundled_ct() -> list[Slice]:
    """The CT slice that pydicom carries for its own tests (128 x 128)."""
    path = get_testdata_file("CT_small.dcm", download=False)
    return read_series([Path(str(path))], ("CT",)).slices if path else []


def read_folders(folders: Sequence[Path], modality: tuple[str, ...], smallest: int) -> Found:
    """All images of the modality, at least `smallest` pixels either way, under the folders.

    Files, images and whole series that are of no use are counted by reason and left out. Raises
    NoImagesError when a folder is missing or nothing is usable.
    """
    files = _files(folders)
    slices: list[Slice] = []
    refused: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    series: dict[str, list[Placed]] = {}
    indices: dict[Path, Index | None] = {}
    with task("Reading images", len(files)) as progress:
        for path, folder in files:
            try:
                if is_nifti(path):
                    volume = read_volume(path, folder, modality, smallest)
                    slices += volume.slices
                    taken[VOLUMES] += len(volume.slices)
                    refused.update(volume.refused)
                elif is_picture(path):
                    if path.parent not in indices:
                        indices[path.parent] = find_index(path.parent)
                    index = indices[path.parent]
                    slices.append(read_picture(path, modality, smallest, index))
                    taken[GUESSED if index is None else PICTURES] += 1
                else:
                    for frame in read_frames(path, modality):
                        # Without a series an image stands alone.
                        series.setdefault(frame.series or str(path), []).append(frame)
            except ImageError as error:
                refused[error.reason or "unreadable"] += 1
            progress.advance()
    for frames in series.values():
        localisers = {frame.path for frame in frames if frame.reason == LOCALISER}
        refused[LOCALISER] += len(localisers)
        found = _of_series([one for one in frames if one.path not in localisers], smallest)
        slices += found.slices
        refused.update(found.refused)
        taken.update(found.taken)
    if not slices:
        raise NoImagesError(
            f"no {'/'.join(modality)} image in {len(files)} files could be used"
            + (f": {reasons(+refused)}" if +refused else ""),
            next_step="give --data a folder of DICOM, NIfTI, PNG or JPEG images of that modality",
        )
    return Found(slices, dict(+refused), dict(+taken))


def _of_series(frames: Sequence[Placed], smallest: int) -> Found:
    """What one series gives; a refused one counts all its files."""
    slices: list[Slice] = []
    refused: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    if all(frame.piece is None for frame in frames):
        refused.update(_by_file(frames))
        return Found(slices, refused, taken)
    try:
        stacks = arrange(frames).stacks
    except SeriesError as error:
        refused[error.reason] += len({frame.path for frame in frames})
        return Found(slices, refused, taken)
    for stack in stacks:
        for piece, reason in zip(stack.slices, stack.reasons, strict=True):
            if piece is None:
                refused[reason] += 1
            elif min(piece.values.shape) < smallest:
                refused[TOO_SMALL] += 1
            else:
                slices.append(piece)
                taken[SERIES if len(stack.slices) > 1 else SINGLE] += 1
    return Found(slices, refused, taken)


def _by_file(frames: Iterable[Placed]) -> Counter[str]:
    first = {frame.path: frame.reason for frame in frames}
    return Counter(first.values())


def _files(folders: Sequence[Path]) -> list[_File]:
    """Every file once, however often folders overlap; indices of pictures are no images."""
    found: dict[Path, _File] = {}
    for folder in folders:
        if not folder.exists():
            raise NoImagesError(f"{folder} does not exist", next_step="check --data")
        if folder.is_dir():
            below = [_File(path, folder) for path in sorted(folder.rglob("*")) if path.is_file()]
        else:
            below = [_File(folder, folder.parent)]
        for file in below:
            if file.path.suffix.lower() != ".csv":
                found.setdefault(file.path.resolve(), file)
    return list(found.values())
