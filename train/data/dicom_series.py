"""DICOM images -> series in the order of space, or a typed refusal; nothing is interpolated."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from scanside.runtime.errors import SeriesError, UnsupportedImageError
from scanside.train.data.dicom_image import LOCALISER, Placed, read_frames
from scanside.train.data.slice import Slice

MIXED = "mixed series"
NO_GEOMETRY = "series without geometry"
DUPLICATE = "duplicate positions"
MISSING = "missing positions"

# Slices of these lie beside each other in space; each image of any other stands for itself.
CROSS_SECTIONAL = ("CT", "MR", "PT")
# A missing slice doubles a gap; positions that were rounded to 0.1 mm move one by a tenth or so.
GAP_TOLERANCE = 0.2
SAME_POSITION_MM = 0.01
SAME_COSINE = 1e-3
SAME_SPACING = 1e-3

Key = TypeVar("Key", bound=Hashable)


class Stack(NamedTuple):
    """Neighbouring images. positions_mm: along the slice normal, rising, or empty where the images
    have no place in space. slices: in that order; None where an image is of no use, for the reason
    at the same place of `reasons`."""

    slices: list[Slice | None]
    reasons: list[str]
    positions_mm: list[float]


class Series(NamedTuple):
    """stacks: one, unless the scanner changed the slice thickness or repeated the positions."""

    stacks: list[Stack]

    @property
    def slices(self) -> list[Slice]:
        return [one for stack in self.stacks for one in stack.slices if one is not None]


def read_series(paths: Sequence[Path], modality: tuple[str, ...] = ("CT", "MR")) -> Series:
    """One series from its files, which may be in any order.

    Raises SeriesError (reason "mixed series", "series without geometry", "duplicate positions",
    "missing positions"), UnsupportedImageError (reason "localiser", "another modality", "not HU",
    "constant", ...: the first image's, when no image is of use) and what read_image raises.
    """
    frames = [frame for path in paths for frame in read_frames(path, modality)]
    if any(frame.reason == LOCALISER for frame in frames):
        raise UnsupportedImageError(
            "localiser: an image for planning the scan is among the files",
            next_step="leave it out",
            reason=LOCALISER,
        )
    if len({frame.series for frame in frames}) > 1:
        raise _refusal(MIXED, "the files are of more than one series")
    series = arrange(frames)
    if not series.slices:
        raise UnsupportedImageError(
            f"no image of the series can be trained on: {frames[0].reason}",
            next_step="give another series",
            reason=frames[0].reason,
        )
    return series


def arrange(frames: Sequence[Placed]) -> Series:
    """The images of one series, in the order of space.

    Images that differ in Image Type or Slice Thickness are stacks of their own. Positions that
    repeat are separated by echo time, temporal position or acquisition number where that leaves
    stacks of the very same positions, and are refused otherwise. Raises SeriesError.
    """
    if len({frame.modality for frame in frames}) > 1:
        raise _refusal(MIXED, "it holds images of more than one modality")
    if len(frames) == 1 or frames[0].modality not in CROSS_SECTIONAL:
        return Series([Stack([one.piece], [one.reason], []) for one in frames])
    if not all(frame.position and frame.orientation for frame in frames):
        raise _refusal(NO_GEOMETRY, "its images do not tell where they lie")
    _check_one_geometry(frames)
    kinds = _grouped(frames, lambda frame: frame.traits.kind)
    return Series([_stack(part) for kind in kinds for part in _separated(kind)])


def _check_one_geometry(frames: Sequence[Placed]) -> None:
    first = frames[0]
    for frame in frames:
        if frame.shape != first.shape:
            raise _refusal(MIXED, "its images differ in size")
        if bool(frame.spacing) != bool(first.spacing) or not np.allclose(
            frame.spacing, first.spacing, rtol=SAME_SPACING, atol=0
        ):
            raise _refusal(MIXED, "its images differ in pixel spacing")
        if not np.allclose(frame.orientation, first.orientation, rtol=0, atol=SAME_COSINE):
            raise _refusal(MIXED, "its images differ in orientation")


def _separated(frames: Sequence[Placed]) -> list[list[Placed]]:
    """The images, or the parts that pass through the same positions one after the other."""
    if not _repeats(frames):
        return [list(frames)]
    ways: list[Callable[[Placed], Hashable]] = [
        lambda frame: frame.traits.echo,
        lambda frame: frame.traits.time,
        lambda frame: frame.traits.acquisition,
        lambda frame: (frame.traits.echo, frame.traits.time),
    ]
    for way in ways:
        parts = _grouped(frames, way)
        if not any(map(_repeats, parts)) and _same_places(parts):
            return parts
    raise _refusal(DUPLICATE, "two of its images lie at the same position")


def _repeats(frames: Sequence[Placed]) -> bool:
    return bool((np.diff(np.sort(_positions(frames))) < SAME_POSITION_MM).any())


def _same_places(parts: Sequence[Sequence[Placed]]) -> bool:
    if len({len(part) for part in parts}) > 1:
        return False
    places = [np.sort(_positions(part)) for part in parts]
    return all(np.allclose(one, places[0], rtol=0, atol=SAME_POSITION_MM) for one in places)


def _stack(frames: Sequence[Placed]) -> Stack:
    positions = _positions(frames)
    order = np.argsort(positions)
    gaps = np.diff(positions[order])
    if gaps.size and np.abs(gaps - np.median(gaps)).max() > GAP_TOLERANCE * np.median(gaps):
        raise _refusal(MISSING, "its positions are not equally spaced")
    return Stack(
        [frames[index].piece for index in order],
        [frames[index].reason for index in order],
        [float(positions[index]) for index in order],
    )


def _positions(frames: Sequence[Placed]) -> npt.NDArray[np.float64]:
    """Position of each image along the slice normal, in mm: the normal is row x column (PS3.3
    C.7.6.2.1.1). A gantry tilt shifts the images within their planes, which does not count."""
    row, column = np.reshape(frames[0].orientation, (2, 3))
    places = np.array([frame.position for frame in frames], np.float64)
    return np.asarray(places @ np.cross(row, column))


def _grouped(frames: Iterable[Placed], key: Callable[[Placed], Key]) -> list[list[Placed]]:
    groups: dict[Key, list[Placed]] = {}
    for frame in frames:
        groups.setdefault(key(frame), []).append(frame)
    return list(groups.values())


def _refusal(reason: str, message: str) -> SeriesError:
    return SeriesError(
        f"{reason}: {message}; nothing is interpolated",
        next_step="give the whole series, once, in a folder",
        reason=reason,
    )
