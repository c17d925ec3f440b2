"""Two files of one name -> a pair of pictures that one window shows alike."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scanside.runtime.cubic import double
from scanside.runtime.dicom.frame_facts import texts
from scanside.runtime.dicom.read import Image, read_image
from scanside.runtime.errors import UnreadableImageError, UnsupportedImageError
from scanside.runtime.frame import PIXEL_DTYPES, stored_values

Stored = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint16]

# Soft tissue of the abdomen, as the presets of most viewers have it (radiopaedia.org, "Windowing
# (CT)"). Level and width in HU.
CT_WINDOW = (50.0, 400.0)


class Picture(NamedTuple):
    """One greyscale image. values: (R, C) int32 stored values; modality value = slope * stored +
    intercept. inverted: low is bright (MONOCHROME1). window: (level, width) in modality values, as
    the file asks for. patient: opaque, equal for the images of one patient; never written.
    """

    values: Stored
    slope: float = 1.0
    intercept: float = 0.0
    inverted: bool = False
    modality: str = ""
    window: tuple[float, float] | None = None
    patient: str = ""


class Pair(NamedTuple):
    """Two pictures on one scale. a, b: (R, C) uint16 words; modality value = slope * word +
    intercept. level, width: the window to begin with, in modality values."""

    a: Words
    b: Words
    slope: float
    intercept: float
    inverted: bool
    modality: str
    level: float
    width: float
    patient: str


def read_picture(path: Path) -> Picture:
    """The image of a DICOM or .npy file; of several frames the middle one.

    Raises ImageError's kin: what `read_image` raises; reason "dtype" or "shape" for an array that
    is not (R, C) or (N, R, C) of 8 or 16-bit integers; "burned in" where the header says that text
    is burned into the pixels.
    """
    return _read_array(path) if path.suffix == ".npy" else _read_dicom(path)


def _read_array(path: Path) -> Picture:
    try:
        # Mapped, so that a header that promises more than the file holds allocates nothing.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise UnreadableImageError(
            "this is not a readable .npy file", next_step="save it again with numpy.save"
        ) from None
    if array.dtype.name not in PIXEL_DTYPES:
        raise UnsupportedImageError(
            "dtype: only integers of 8 or 16 bits are shown, they are shown without loss",
            next_step="save the array as int16 or uint16",
            reason="dtype",
        )
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise UnsupportedImageError(
            "shape: only arrays (R, C) or (N, R, C) are shown", reason="shape"
        )
    middle = array[len(array) // 2] if array.ndim == 3 else array
    return Picture(np.asarray(middle, dtype=np.int32))


def _read_dicom(path: Path) -> Picture:
    image = read_image(path)
    dataset = image.dataset
    if texts(dataset, "BurnedInAnnotation")[:1] == ["YES"]:
        raise UnsupportedImageError(
            "burned in: its header says that text is burned into the pixels",
            next_step="leave it out: readers must not see who the patient is",
            reason="burned in",
        )
    middle = len(image.words) // 2
    facts = image.facts[middle]
    return Picture(
        stored_values(image.words[middle], facts),
        facts.slope,
        facts.intercept,
        facts.photometric == "MONOCHROME1",
        facts.modality,
        _window(image),
        "".join((texts(dataset, "PatientID") or texts(dataset, "StudyInstanceUID"))[:1]),
    )


def _window(image: Image) -> tuple[float, float] | None:
    try:
        level, width = (
            float(texts(image.dataset, keyword)[0]) for keyword in ("WindowCenter", "WindowWidth")
        )
    except (IndexError, ValueError):
        return None
    return (level, width) if math.isfinite(level) and 0 < width < math.inf else None


def pair(a: Picture, b: Picture) -> Pair:
    """Put two pictures of one case on one scale and one matrix.

    Where one has twice the rows and columns of the other, the smaller is doubled by
    `scanside.runtime.cubic.double`, so that the matrix does not tell them apart. The window is
    A's own, else soft tissue for CT, else the 1st to 99th percentile of both. Raises
    UnsupportedImageError, reason "size", "scale" or "range", where they cannot be compared.
    """
    if a.inverted != b.inverted or a.modality != b.modality:
        raise _differ("scale", "one is inverted or of another modality")
    if (a.slope, a.intercept) != (b.slope, b.intercept):
        a, b = _whole_modality_values(a), _whole_modality_values(b)
    first, second = _same_matrix(a.values, b.values)
    low = min(int(first.min()), int(second.min()))
    if max(int(first.max()), int(second.max())) - low > 0xFFFF:
        raise _differ("range", "together they span more than 16 bits")
    level, width = a.window or (CT_WINDOW if a.modality == "CT" else _spread(a, b))
    return Pair(
        (first - low).astype(np.uint16),
        (second - low).astype(np.uint16),
        a.slope,
        a.intercept + a.slope * low,
        a.inverted,
        a.modality,
        level,
        width,
        a.patient,
    )


def _whole_modality_values(picture: Picture) -> Picture:
    if picture.slope != 1 or not picture.intercept.is_integer():
        raise _differ("scale", "they have different rescale slopes or intercepts")
    values = picture.values + int(picture.intercept)
    return picture._replace(values=values, intercept=0.0)


def _same_matrix(a: Stored, b: Stored) -> tuple[Stored, Stored]:
    if b.shape == (2 * a.shape[0], 2 * a.shape[1]):
        a = _doubled(a)
    elif a.shape == (2 * b.shape[0], 2 * b.shape[1]):
        b = _doubled(b)
    if a.shape != b.shape:
        raise _differ("size", "they differ in rows or columns, and not by two")
    return a, b


def _doubled(values: Stored) -> Stored:
    # Clipped to what was there: an overshoot below zero would tell which one was interpolated.
    smooth = np.rint(double(values.astype(np.float32)))
    return np.clip(smooth, values.min(), values.max()).astype(np.int32)


def _spread(a: Picture, b: Picture) -> tuple[float, float]:
    both = np.concatenate((a.values.ravel(), b.values.ravel()))
    low, high = np.percentile(both, (1, 99)) * a.slope + a.intercept
    return float(low + high) / 2, max(abs(float(high - low)), abs(a.slope))


def _differ(reason: str, message: str) -> UnsupportedImageError:
    return UnsupportedImageError(
        f"{reason}: the two images cannot be compared, {message}",
        next_step="compare images of one case on one scale",
        reason=reason,
    )
