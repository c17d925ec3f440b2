"""What a header says in units of pixels or of pixel positions, for an image that was magnified."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from scanside.runtime.dicom.frame_facts import FRAME_GROUPS, SHARED_GROUPS, items

Vector = npt.NDArray[np.float64]

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
# One-based row or column numbers of shutters and collimators (PS3.3 C.7.6.11, C.8.7.3).
_EDGES = ("LeftVerticalEdge", "RightVerticalEdge", "UpperHorizontalEdge", "LowerHorizontalEdge")
_POSITIONS = (
    *(device + edge for device in ("Shutter", "Collimator") for edge in _EDGES),
    *("CenterOfCircularShutter", "CenterOfCircularCollimator"),
    *("VerticesOfThePolygonalShutter", "VerticesOfThePolygonalCollimator"),
)
_RADII = ("RadiusOfCircularShutter", "RadiusOfCircularCollimator")


def magnify_geometry(dataset: Dataset, scale: int) -> None:
    """Change `dataset` in place so that it fits an image `scale` times as large, both ways.

    The image keeps its outer edges: pixels become `scale` times smaller, and the centre of the
    first one, which Image Position (Patient) is, moves towards the corner.
    """
    shared = items(dataset, SHARED_GROUPS)[:1]
    frames = items(dataset, FRAME_GROUPS)
    _move_origin([dataset], scale)
    for frame in frames:
        _move_origin([frame, *shared], scale)
    if shared and items(shared[0], "PlanePositionSequence"):
        _move_origin([*shared, *frames[:1]], scale)

    groups = [*shared, *frames]
    macros = [item for group in groups for macro in _sequences(group) for item in macro]
    for holder in [dataset, *macros]:
        for keyword in _SPACINGS:
            _change(holder, keyword, lambda spacing: spacing / scale)
        for keyword in _POSITIONS:
            _change(holder, keyword, lambda n: np.round(scale * (n - 0.5) + 0.5))
        for keyword in _RADII:
            _change(holder, keyword, lambda radius: radius * scale)
    for region in items(dataset, "SequenceOfUltrasoundRegions"):
        _magnify_region(region, scale)


def _sequences(group: Dataset) -> Iterable[list[Dataset]]:
    return (items(group, e.keyword) for e in group if e.VR == "SQ" and not e.tag.is_private)


def _move_origin(holders: list[Dataset], scale: int) -> None:
    """Shift the first Image Position (Patient) among functional groups or a plain dataset.

    C.7.6.2.1.1: the first direction cosine runs along a row, the second down a column; Pixel
    Spacing gives the distance between rows first.
    """
    position = _first(holders[:1], "PlanePositionSequence", "ImagePositionPatient")
    orientation = _first(holders, "PlaneOrientationSequence", "ImageOrientationPatient")
    measures = _first(holders, "PixelMeasuresSequence", "PixelSpacing")
    if position is None or orientation is None or measures is None:
        return
    cosines = _numbers(orientation, "ImageOrientationPatient")
    spacing = _numbers(measures, "PixelSpacing")
    if cosines.size != 6 or spacing.size != 2:
        return
    in_source_pixels = 0.5 / scale - 0.5
    shift = in_source_pixels * (cosines[:3] * spacing[1] + cosines[3:] * spacing[0])
    _change(position, "ImagePositionPatient", lambda origin: origin + shift)


def _first(holders: list[Dataset], macro: str, keyword: str) -> Dataset | None:
    for holder in holders:
        for candidate in [holder, *items(holder, macro)]:
            if _numbers(candidate, keyword).size:
                return candidate
    return None


def _numbers(holder: Dataset, keyword: str) -> Vector:
    try:
        return np.array(holder.get(keyword) or [], dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        return np.empty(0)


def _change(holder: Dataset, keyword: str, change: Callable[[Vector], Vector]) -> None:
    numbers = _numbers(holder, keyword)
    if not numbers.size:
        return
    element = holder[keyword]
    changed = change(numbers)
    if element.VR == "DS":
        element.value = [format_number_as_ds(float(n)) for n in changed]
    else:
        whole = [int(n) for n in changed]
        element.value = whole if len(whole) > 1 else whole[0]


def _magnify_region(region: Dataset, scale: int) -> None:
    """An ultrasound region (C.8.5.5): zero-based corners, physical size of one pixel."""
    for keyword in ("RegionLocationMinX0", "RegionLocationMinY0"):
        _change(region, keyword, lambda n: n * scale)
    for keyword in ("RegionLocationMaxX1", "RegionLocationMaxY1"):
        _change(region, keyword, lambda n: (n + 1) * scale - 1)
    for keyword in ("ReferencePixelX0", "ReferencePixelY0"):
        _change(region, keyword, lambda n: n * scale)
    for keyword in ("PhysicalDeltaX", "PhysicalDeltaY"):
        if isinstance(region.get(keyword), float):
            region[keyword].value /= scale
