"""A DICOM file -> its images as slices, each with what decides its series and its place there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from scanside.runtime.dicom.frame_facts import FRAME_GROUPS, SHARED_GROUPS, items, texts
from scanside.runtime.dicom.quiet import quiet
from scanside.runtime.dicom.read import Image, read_image
from scanside.runtime.errors import UnsupportedImageError
from scanside.runtime.frame import FrameFacts, stored_values
from scanside.train.data.found import ANOTHER_MODALITY, CONSTANT, NOT_HU
from scanside.train.data.patient import patient_key
from scanside.train.data.slice import Slice, Values

LOCALISER = "localiser"
PHASE = "phase image"
NEGATIVE = "negative values"

DEFAULT_PIXEL_MM = 0.7
HU_TYPES = ("", "HU")
# Complex Image Component (PS3.3 C.8.13.3.1.1), and what scanners write for it in Image Type.
PHASE_TYPES = {"P", "PHASE", "PHASE MAP"}
# Blood flow, volume and times are no HU, whatever their Rescale Type says (PS3.3 C.8.15.3).
MAP_TYPES = {"PERFUSION", "RCBF", "RCBV", "MTT", "TTP", "TMAX", "CBF", "CBV"}

Point = tuple[float, ...]


class Traits(NamedTuple):
    """What tells images of one series apart that are not neighbours.

    kind: Image Type and Slice Thickness: a scanner may change either within a series (GE's two
    slice thicknesses in one head). echo, time, acquisition: what an MR or a dynamic series repeats
    its positions for.
    """

    kind: tuple[str, ...] = ()
    echo: str = ""
    time: str = ""
    acquisition: str = ""


class Placed(NamedTuple):
    """One image of a file. position: mm, of the first pixel; orientation: of a row, then of a
    column; spacing: mm between rows, then columns; each empty where the header does not tell.
    piece: the image, or None and the `reason` why it is of no use."""

    path: Path
    series: str
    modality: str
    shape: tuple[int, int]
    spacing: Point
    orientation: Point
    position: Point
    traits: Traits
    piece: Slice | None
    reason: str = ""


def read_frames(path: Path, modality: tuple[str, ...]) -> list[Placed]:
    """Every image of a file; those of another modality have no pixels.

    Raises what scanside.runtime.dicom.read.read_image does.
    """
    image = read_image(path)
    with quiet():  # pydicom's warnings may quote what is in the file
        return [_place(path, image, index, modality) for index in range(len(image.words))]


def _place(path: Path, image: Image, index: int, modality: tuple[str, ...]) -> Placed:
    dataset, facts, words = image.dataset, image.facts[index], image.words[index]
    groups = [*items(dataset, FRAME_GROUPS)[index : index + 1]]
    holders = [*groups, *items(dataset, SHARED_GROUPS)[:1], dataset]
    image_type = tuple(
        _find(holders, "MRImageFrameTypeSequence", "FrameType")
        or _find(holders, "CTImageFrameTypeSequence", "FrameType")
        or texts(dataset, "ImageType")
    )
    spacing = _numbers(_find(holders, "PixelMeasuresSequence", "PixelSpacing"), 2)
    piece, reason = None, _unfit(holders, image_type, facts, modality)
    if not reason:
        try:
            piece = _slice(words, facts, dataset, spacing)
        except UnsupportedImageError as error:
            reason = error.reason
    thickness = _find(holders, "PixelMeasuresSequence", "SliceThickness")
    return Placed(
        path=path,
        series="".join(texts(dataset, "SeriesInstanceUID")),
        modality=facts.modality,
        shape=(words.shape[0], words.shape[1]),
        spacing=spacing,
        orientation=_axes(_find(holders, "PlaneOrientationSequence", "ImageOrientationPatient")),
        position=_numbers(_find(holders, "PlanePositionSequence", "ImagePositionPatient"), 3),
        traits=_traits(holders, (*image_type, *thickness)),
        piece=piece,
        reason=reason,
    )


def _unfit(
    holders: Sequence[Dataset],
    image_type: tuple[str, ...],
    facts: FrameFacts,
    modality: tuple[str, ...],
) -> str:
    """Why the header says that an image is of no use, or nothing."""
    if "LOCALIZER" in image_type:
        return LOCALISER
    if facts.modality not in modality:
        return ANOTHER_MODALITY
    if facts.modality == "CT":
        macro = "PixelValueTransformationSequence"
        rescaled = _find(holders, macro, "RescaleIntercept")
        units = "".join(_find(holders, macro, "RescaleType"))
        # A CT without a rescale is a screenshot, or lost its units (type 1 in PS3.3 C.8.2.1).
        if not rescaled or units not in HU_TYPES or MAP_TYPES & set(image_type):
            return NOT_HU
    component = _find(holders, "MRImageFrameTypeSequence", "ComplexImageComponent")
    if facts.modality == "MR" and PHASE_TYPES & {*image_type[2:], *component}:
        return PHASE
    return ""


def _slice(
    words: npt.NDArray[np.generic], facts: FrameFacts, dataset: Dataset, spacing: Point
) -> Slice:
    """The pixels as whole modality values, bright being dense or strong."""
    values, bits, padding = _modality_values(words, facts)
    identity = "".join(texts(dataset, "PatientID")) or str(dataset.get("PatientName") or "")
    piece = Slice(values, _pixel_mm(dataset, spacing), bits, padding, patient_key(identity))
    if facts.photometric == "MONOCHROME1":
        ends = sum(piece.limits)
        turned = (ends - values.astype(np.int32)).astype(values.dtype)
        turned_padding = None if padding is None else (ends - padding[1], ends - padding[0])
        piece = piece._replace(values=turned, padding=turned_padding)
    image = piece.values
    if piece.padding is not None:
        image = image[(image < piece.padding[0]) | (image > piece.padding[1])]
    if not image.size or image.min() == image.max():
        raise _unfit_error(CONSTANT)
    return piece


def _modality_values(
    words: npt.NDArray[np.generic], facts: FrameFacts
) -> tuple[Values, int, tuple[int, int] | None]:
    """(values, bits that hold the stored range, padding).

    CT: HU, int16. Others: uint16, with the slope applied where it keeps every grey level and fits
    into 16 bits; a slope below one or a huge one is left out, their unit being arbitrary.
    """
    signed = facts.modality == "CT"
    ends = np.array(facts.stored_range) * facts.slope + facts.intercept
    unit = 1.0
    if not signed and (abs(facts.slope) < 1 or ends.max() > 0xFFFF):
        unit = abs(facts.slope)
    low, high = (-0x8000, 0x7FFF) if signed else (0, 0xFFFF)

    def whole(stored: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        return np.asarray(np.rint((stored * facts.slope + facts.intercept) / unit), np.float64)

    stored = stored_values(words, facts)
    values = whole(stored)
    padding = None
    inside = np.ones(values.shape, bool)
    if facts.padding is not None:
        inside = (stored < facts.padding[0]) | (stored > facts.padding[1])
        first, last = np.sort(np.clip(whole(np.array(facts.padding)), low, high))
        padding = (int(first), int(last))
    if not signed and (values[inside] < 0).any():
        raise _unfit_error(NEGATIVE)
    reach = np.clip(whole(np.array(facts.stored_range)), low, high)
    bits = max(_bits(int(end), signed) for end in reach)
    kind = np.int16 if signed else np.uint16
    return np.clip(values, low, high).astype(kind), bits, padding


def _bits(value: int, signed: bool) -> int:
    """The fewest bits, at least one, that hold a value."""
    return (value if value >= 0 else ~value).bit_length() + signed or 1


def _traits(holders: Sequence[Dataset], kind: tuple[str, ...]) -> Traits:
    def text(macro: str, *keywords: str) -> str:
        return next((str(v) for k in keywords if (v := _find(holders, macro, k))), "")

    return Traits(
        kind,
        text("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
        text("FrameContentSequence", "TemporalPositionIndex", "TemporalPositionIdentifier"),
        text("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber"),
    )


def _pixel_mm(dataset: Dataset, spacing: Point) -> float:
    """Side of a square as large as a pixel; a usual one where it is missing or absurd."""
    found = spacing or _numbers(texts(dataset, "ImagerPixelSpacing"), 2)
    side = math.sqrt(found[0] * found[1]) if found and min(found) > 0 else 0.0
    return side if 0.01 < side < 10 else DEFAULT_PIXEL_MM


def _find(holders: Sequence[Dataset], macro: str, keyword: str) -> list[str]:
    """An element's values: a frame's own before the shared ones before the top level's."""
    for holder in holders:
        for candidate in (*items(holder, macro), holder):
            if found := texts(candidate, keyword):
                return found
    return []


def _numbers(values: Sequence[str], count: int) -> Point:
    try:
        numbers = tuple(float(value) for value in values)
    except ValueError:
        return ()
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else ()


def _axes(values: Sequence[str]) -> Point:
    """Six direction cosines, if they are two unit vectors at right angles."""
    numbers = _numbers(values, 6)
    if not numbers:
        return ()
    axes = np.array(numbers).reshape(2, 3)
    return numbers if np.allclose(axes @ axes.T, np.eye(2), atol=1e-2) else ()


def _unfit_error(reason: str) -> UnsupportedImageError:
    return UnsupportedImageError(
        f"this image cannot be trained on: {reason}", next_step="leave it out", reason=reason
    )
