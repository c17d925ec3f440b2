"""Which way up a slice goes to the model: as DICOM would have it, however the file stores it.

Converters store the same slice in any of eight ways (dcm2niix turns the rows round, ITK does not).
Models are trained on images as scanners write them, so slices are turned before and back after.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from scanside.runtime.nifti.geometry import Fields, affine_of

_Scalar = TypeVar("_Scalar", bound=np.generic)


class Orientation(NamedTuple):
    """From a stored slice, rows along j and columns along i, to an upright one.

    transposed comes first; then rows or columns that run backwards are reversed.
    """

    transposed: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False

    def upright(self, stored: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        """(R, C) as stored -> (R, C) or (C, R) upright, contiguous."""
        return np.ascontiguousarray(self._reverse(stored.T if self.transposed else stored))

    def as_stored(self, upright: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        """The inverse of `upright`, of whatever size the image is now."""
        image = self._reverse(upright)
        return image.T if self.transposed else image

    def _reverse(self, image: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        rows = slice(None, None, -1 if self.rows_reversed else 1)
        columns = slice(None, None, -1 if self.columns_reversed else 1)
        return image[rows, columns]


def orientation_of(fields: Fields) -> Orientation:
    """How slices (i, j) of this volume become upright; as stored if no form is in use.

    Upright is how scanners write all three planes: columns run to the left or, in sagittal images,
    to the back; rows to the back or, in sagittal and coronal images, to the feet. So of the two
    axes the earlier among left-right, back-front, feet-head makes the columns, and both run
    against NIfTI's +x (right), +y (front), +z (head).
    """
    affine = affine_of(fields)
    if affine is None:
        return Orientation()
    from nibabel.orientations import io_orientation

    axes: npt.NDArray[Any] = io_orientation(affine)  # (3, 2): nearest world axis, its sign
    transposed = bool(axes[0, 0] > axes[1, 0])
    columns, rows = (axes[1], axes[0]) if transposed else (axes[0], axes[1])
    return Orientation(transposed, bool(rows[1] > 0), bool(columns[1] > 0))
