"""PNG and JPEG pictures -> slices, patients by an index where there is one (NIH ChestX-ray)."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
from monai.data.image_reader import PILReader

from scanside.runtime.errors import UnreadableImageError, UnsupportedImageError
from scanside.train.data.dicom_image import DEFAULT_PIXEL_MM
from scanside.train.data.found import ANOTHER_MODALITY, CONSTANT, TOO_SMALL
from scanside.train.data.patient import patient_key
from scanside.train.data.slice import Slice

SUFFIXES = (".png", ".jpg", ".jpeg")
NOT_INDEXED = "not in the index"

IMAGE_COLUMN, PATIENT_COLUMN = "Image Index", "Patient ID"  # NIH's Data_Entry_2017.csv
ABOVE = 3  # the picture's folder and two above it: archive/images_001/images
MAX_PIXELS = 2**27
GREY_8, GREY_16 = ("L",), ("I;16", "I;16L", "I;16B", "I")  # Pillow's modes

Index = dict[str, str]
"""Name of a picture -> patient."""


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def find_index(folder: Path) -> Index | None:
    """The index beside the pictures of a folder or above them: a CSV file with the columns 'Image
    Index' and 'Patient ID'; None where there is none."""
    folder = folder.resolve()
    for place in (folder, *folder.parents)[:ABOVE]:
        for path in sorted(place.glob("*.csv")):
            if (index := _read_index(path)) is not None:
                return index
    return None


def read_picture(
    path: Path, modality: tuple[str, ...], smallest: int, index: Index | None
) -> Slice:
    """A grey picture of 8 or 16 bits, as uint16. It is of the modality that is asked for, but never
    CT, whose HU a picture cannot hold.

    Without an index the patient is the name up to the first underscore (NIH: 00000001_000.png).
    Sixteen bits often hold twelve: the brightest pixel tells how many count. Raises
    UnsupportedImageError (reason "another modality", "colour", "too small", "too large",
    "constant", "not in the index") or UnreadableImageError (reason "damaged").
    """
    if set(modality) <= {"CT"}:
        raise _unsupported(ANOTHER_MODALITY)
    if index is not None and path.name not in index:
        raise _unsupported(NOT_INDEXED)
    patient = path.stem.split("_")[0] if index is None else index[path.name]
    reader = PILReader(reverse_indexing=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of large pictures: the cap is below
        try:
            picture = reader.read(path)
        except Exception:  # noqa: BLE001 - Pillow's decoders raise anything on rubbish
            raise _damaged() from None
        with picture:
            if picture.mode not in GREY_8 + GREY_16:
                raise _unsupported("colour")
            if picture.width * picture.height > MAX_PIXELS:
                raise _unsupported("too large")
            if min(picture.size) < smallest:
                raise _unsupported(TOO_SMALL)
            deep = picture.mode in GREY_16
            try:
                pixels, _ = reader.get_data(picture)
            except Exception:  # noqa: BLE001
                raise _damaged() from None
    if pixels.min() < 0 or pixels.max() > 0xFFFF:
        raise _unsupported("bits")
    values = np.ascontiguousarray(pixels).astype(np.uint16)
    if values.min() == values.max():
        raise _unsupported(CONSTANT)
    bits = max(8, int(values.max()).bit_length()) if deep else 8
    return Slice(values, DEFAULT_PIXEL_MM, bits, None, patient_key(patient))


def _read_index(path: Path) -> Index | None:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.DictReader(stream)
            if not {IMAGE_COLUMN, PATIENT_COLUMN} <= set(rows.fieldnames or ()):
                return None
            return {
                row[IMAGE_COLUMN]: row[PATIENT_COLUMN]
                for row in rows
                if row[IMAGE_COLUMN] and row[PATIENT_COLUMN]
            }
    except (OSError, UnicodeDecodeError, csv.Error):
        return None


def _unsupported(reason: str) -> UnsupportedImageError:
    return UnsupportedImageError(
        f"this picture cannot be trained on: {reason}", next_step="leave it out", reason=reason
    )


def _damaged() -> UnreadableImageError:
    return UnreadableImageError(
        "damaged: the picture cannot be read", next_step="copy it again", reason="damaged"
    )
