"""A magnified image lies where its source lay."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset

from dicoms import make_dicom
from scanside.runtime.dicom.geometry import magnify_geometry

WORDS = np.zeros((4, 6), np.uint16)
ORIENTATION = [0.6, 0.8, 0.0, -0.8, 0.6, 0.0]


def _corner(
    spacing: Any, orientation: Any, position: Any, row: float, column: float
) -> npt.NDArray[np.float64]:
    """Patient coordinates of a point in (row, column) index units (PS3.3 C.7.6.2.1.1)."""
    along_row, down_column = np.array(orientation, float).reshape(2, 3)
    origin = np.array(position, float)
    return origin + along_row * float(spacing[1]) * column + down_column * float(spacing[0]) * row


@pytest.mark.parametrize("scale", [2, 4])
def test_the_outer_edges_stay(scale: int) -> None:
    dataset = make_dicom(
        WORDS,
        PixelSpacing=["0.8", "0.5"],
        ImagerPixelSpacing=["0.9", "0.7"],
        ImageOrientationPatient=ORIENTATION,
        ImagePositionPatient=["-100.25", "20", "-7.5"],
    )
    old = (dataset.PixelSpacing, ORIENTATION, list(dataset.ImagePositionPatient))
    before = [_corner(*old, -0.5, -0.5), _corner(*old, 3.5, 5.5)]
    magnify_geometry(dataset, scale)
    new = (dataset.PixelSpacing, ORIENTATION, list(dataset.ImagePositionPatient))
    after = [_corner(*new, -0.5, -0.5), _corner(*new, 4 * scale - 0.5, 6 * scale - 0.5)]
    np.testing.assert_allclose(after, before, atol=1e-9)
    assert list(dataset.PixelSpacing) == [0.8 / scale, 0.5 / scale]
    assert list(dataset.ImagerPixelSpacing) == [0.9 / scale, 0.7 / scale]
    assert all(len(str(value)) <= 16 for value in dataset.ImagePositionPatient)


def _macro(keyword: str, **elements: Any) -> dict[str, list[Dataset]]:
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return {keyword: [item]}


def _group(*macros: dict[str, list[Dataset]]) -> Dataset:
    group = Dataset()
    for macro in macros:
        for keyword, value in macro.items():
            setattr(group, keyword, value)
    return group


def test_functional_groups_share_or_own_their_geometry() -> None:
    spacing = _macro("PixelMeasuresSequence", PixelSpacing=[1, 1])
    orientation = _macro("PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    position = _macro("PlanePositionSequence", ImagePositionPatient=[10, 20, 30])
    wide = _macro("PixelMeasuresSequence", PixelSpacing=[2, 4])
    dataset = make_dicom(
        np.zeros((2, 4, 6), np.uint16),
        SharedFunctionalGroupsSequence=[_group(orientation, spacing)],
        PerFrameFunctionalGroupsSequence=[
            _group(_macro("PlanePositionSequence", ImagePositionPatient=[0, 0, 0])),
            _group(position, wide),
        ],
    )
    magnify_geometry(dataset, 2)
    first, second = dataset.PerFrameFunctionalGroupsSequence
    shared = dataset.SharedFunctionalGroupsSequence[0]
    assert list(first.PlanePositionSequence[0].ImagePositionPatient) == [-0.25, -0.25, 0]
    assert list(second.PlanePositionSequence[0].ImagePositionPatient) == [9, 19.5, 30]
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == [0.5, 0.5]
    assert list(second.PixelMeasuresSequence[0].PixelSpacing) == [1, 2]


def test_a_shared_position_moves_once() -> None:
    dataset = make_dicom(
        np.zeros((2, 4, 6), np.uint16),
        SharedFunctionalGroupsSequence=[
            _group(
                _macro("PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
                _macro("PlanePositionSequence", ImagePositionPatient=[10, 20, 30]),
                _macro("PixelMeasuresSequence", PixelSpacing=[1, 1]),
            )
        ],
        PerFrameFunctionalGroupsSequence=[Dataset(), Dataset()],
    )
    magnify_geometry(dataset, 2)
    position = dataset.SharedFunctionalGroupsSequence[0].PlanePositionSequence[0]
    assert list(position.ImagePositionPatient) == [9.75, 19.75, 30]


def test_pixel_positions_and_regions() -> None:
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMaxX1 = 0, 5
    region.PhysicalDeltaX = 0.5
    dataset = make_dicom(
        WORDS,
        ShutterLeftVerticalEdge=1,
        CollimatorRightVerticalEdge=6,
        CenterOfCircularShutter=[2, 3],
        RadiusOfCircularShutter=2,
        SequenceOfUltrasoundRegions=[region],
    )
    magnify_geometry(dataset, 2)
    assert dataset.ShutterLeftVerticalEdge in (1, 2)
    assert dataset.CollimatorRightVerticalEdge in (11, 12)
    np.testing.assert_allclose(dataset.CenterOfCircularShutter, [4, 6], atol=1)
    assert dataset.RadiusOfCircularShutter == 4
    region = dataset.SequenceOfUltrasoundRegions[0]
    assert (region.RegionLocationMinX0, region.RegionLocationMaxX1) == (0, 11)
    assert region.PhysicalDeltaX == 0.25


def test_nothing_to_go_by_changes_nothing() -> None:
    dataset = make_dicom(WORDS, ImagePositionPatient=[1, 2, 3])
    magnify_geometry(dataset, 2)
    assert list(dataset.ImagePositionPatient) == [1, 2, 3]
