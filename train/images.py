"""Training slices from folders of DICOM, split by patient."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from scanside.runtime.dicom.quiet import quiet
from scanside.runtime.dicom.read import Image, read_image
from scanside.runtime.errors import ImageError, NoImagesError
from scanside.runtime.frame import FrameFacts, stored_values
from scanside.runtime.progress import task

DEFAULT_PIXEL_MM = 0.7
HELD_OUT_SHARE = 5  # one patient of so many


class Slice(NamedTuple):
    """hu: (n, n) int16, square. padding: lowest and highest HU that is padding, or None.
    patient: an opaque key, equal for slices of one patient, never written anywhere."""

    hu: npt.NDArray[np.int16]
    pixel_mm: float
    padding: tuple[int, int] | None = None
    patient: str = ""


class Found(NamedTuple):
    """What folders held: usable slices, and how many files were refused for which reason."""

    slices: list[Slice]
    refused: dict[str, int]


def bundled_ct() -> list[Slice]:
    """The CT slice that pydicom carries for its own tests (128 x 128)."""
    path = get_testdata_file("CT_small.dcm", download=False)
    return _slices(read_image(Path(str(path))), ("CT",)) if path else []


def read_folders(folders: Sequence[Path], modality: tuple[str, ...], smallest: int) -> Found:
    """All square slices of the modality, at least `smallest` pixels a side, under the folders.

    Files that are no images, or not of this kind, are counted by reason and left out. Raises
    NoImagesError when a folder is missing or nothing is usable.
    """
    paths: list[Path] = []
    for folder in folders:
        if not folder.exists():
            raise NoImagesError(f"{folder} does not exist", next_step="check --data")
        paths += (
            sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else [folder]
        )
    slices: list[Slice] = []
    refused: dict[str, int] = {}
    with task("Reading images", len(paths)) as progress:
        for path in paths:
            try:
                found = _slices(read_image(path), modality)
                reason = "another modality, not square, or constant"
            except ImageError as error:
                found, reason = [], error.reason or "unreadable"
            found = [one for one in found if one.hu.shape[0] >= smallest]
            if not found:
                refused[reason] = refused.get(reason, 0) + 1
            slices += found
            progress.advance()
    if not slices:
        raise NoImagesError(
            f"no {'/'.join(modality)} slice in {len(paths)} files could be used",
            next_step="give --data a folder of DICOM images of that modality",
        )
    return Found(slices, refused)


def split_by_patient(
    slices: Sequence[Slice], trained: Sequence[Slice] = ()
) -> tuple[list[Slice], list[Slice]]:
    """(training, held out): about one patient in five is held out, and never a part of one.

    With a single patient nothing is held out, nor ever a patient of `trained`.
    """
    known = {one.patient for one in trained}
    patients = sorted({one.patient for one in slices} - known)
    held = set(patients[::HELD_OUT_SHARE]) if len(patients) > 1 else set()
    return (
        [one for one in slices if one.patient not in held],
        [one for one in slices if one.patient in held],
    )


def _slices(image: Image, modality: tuple[str, ...]) -> list[Slice]:
    with quiet():  # pydicom's warnings may quote what is in the file
        pixel_mm = _pixel_mm(image.dataset)
        identity = f"{image.dataset.get('PatientID', '')}|{image.dataset.get('PatientName', '')}"
    patient = hashlib.sha256(identity.encode(errors="replace")).hexdigest()
    found = []
    for words, facts in zip(image.words, image.facts, strict=True):
        rows, columns = words.shape
        if facts.modality not in modality or rows != columns:
            continue
        hu = _whole_hu(stored_values(words, facts), facts)
        if hu.min() == hu.max():
            continue
        padding = None
        if facts.padding is not None:
            ends = _whole_hu(np.array(facts.padding), facts)
            padding = (int(ends.min()), int(ends.max()))
        found.append(Slice(hu, pixel_mm, padding, patient))
    return found


def _whole_hu(stored: npt.NDArray[np.integer], facts: FrameFacts) -> npt.NDArray[np.int16]:
    hu = np.rint(stored * facts.slope + facts.intercept)
    whole: npt.NDArray[np.int16] = np.clip(hu, -32768, 32767).astype(np.int16)
    return whole


def _pixel_mm(dataset: Dataset) -> float:
    """Pixel Spacing, which only shapes the dose; a usual one where it is missing or absurd."""
    spacing = dataset.get("PixelSpacing")
    try:
        first = float(spacing[0]) if spacing else DEFAULT_PIXEL_MM
    except (TypeError, ValueError):
        return DEFAULT_PIXEL_MM
    return first if 0.01 < first < 10 else DEFAULT_PIXEL_MM
