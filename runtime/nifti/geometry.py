"""Where a volume lies: both of NIfTI's ways to say it, checked, and changed for a magnified one.

nifti1.h: method 2 (qform: a quaternion, pixdim and an offset) and method 3 (sform: three rows of
an affine) both map array indices (i, j, k) to millimetres of the first voxel's centre onwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scanside.runtime.nifti.refusals import malformed

Fields = npt.NDArray[np.void]
Matrix = npt.NDArray[np.float64]

_OFFSETS = ("qoffset_x", "qoffset_y", "qoffset_z")
_ROWS = ("srow_x", "srow_y", "srow_z")
_QUATERNION = ("quatern_b", "quatern_c", "quatern_d")


def check_geometry(fields: Fields) -> None:
    """UnsupportedImageError (reason "malformed header") if a form that is in use maps nowhere.

    fields: nibabel's `structarr`. A form whose code is 0 is not in use and is not looked at.
    """
    spacing = _numbers(fields["pixdim"][1:4])
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise malformed("pixdim")
    if fields["qform_code"] > 0:
        numbers = _numbers([fields[name] for name in (*_QUATERNION, *_OFFSETS)])
        if not np.isfinite(numbers).all():
            raise malformed("the qform")
        _rotation(fields)
    if fields["sform_code"] > 0:
        rows = _affine_rows(fields)
        # Of unit columns, so that the size of the voxels does not count.
        lengths = np.linalg.norm(rows[:, :3], axis=0)
        finite = bool(np.isfinite(rows).all()) and bool((lengths > 0).all())
        if not finite or abs(np.linalg.det(rows[:, :3] / lengths)) < 1e-6:
            raise malformed("the sform")


def magnify_geometry(fields: Fields, scale: int) -> None:
    """Change `fields` in place for in-plane axes i and j with `scale` times as many voxels.

    The volume keeps its outer edges, as `scanside.runtime.dicom.geometry` does: with s = scale and
    h = 0.5 / s - 0.5, the new affine is old @ [[1/s,0,0,h],[0,1/s,0,h],[0,0,1,0],[0,0,0,1]].
    """
    shift = 0.5 / scale - 0.5
    spacing = _numbers(fields["pixdim"])
    if fields["qform_code"] > 0:
        # qfac (pixdim[0]) turns the third axis alone, which stays where it is.
        offset = _numbers([fields[name] for name in _OFFSETS])
        offset += shift * (_rotation(fields)[:, :2] @ spacing[1:3])
        for name, value in zip(_OFFSETS, offset, strict=True):
            fields[name] = value
    if fields["sform_code"] > 0:
        rows = _affine_rows(fields)
        rows[:, 3] += shift * (rows[:, 0] + rows[:, 1])
        rows[:, :2] /= scale
        for name, row in zip(_ROWS, rows, strict=True):
            fields[name] = row
    spacing[1:3] /= scale
    fields["pixdim"] = spacing
    slice_axis = int(fields["dim_info"]) >> 4 & 3  # 1 is i, 2 is j
    if slice_axis in (1, 2):  # acquired slices are no longer rows or columns of the array
        for name in ("slice_code", "slice_start", "slice_end", "slice_duration"):
            fields[name] = 0


def affine_of(fields: Fields) -> Matrix | None:
    """(4, 4) of the sform if it is in use, else of the qform, else None."""
    affine = np.eye(4)
    if fields["sform_code"] > 0:
        affine[:3] = _affine_rows(fields)
        return affine
    if fields["qform_code"] <= 0:
        return None
    qfac = -1 if fields["pixdim"][0] < 0 else 1
    affine[:3, :3] = _rotation(fields) * _numbers(fields["pixdim"][1:4]) * [1, 1, qfac]
    affine[:3, 3] = [fields[name] for name in _OFFSETS]
    return affine


def _rotation(fields: Fields) -> Matrix:
    """(3, 3): the directions of i, j and k as columns, without qfac."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.quaternions import fillpositive, quat2mat

    # Of float32 also in NIfTI-2: converters carry NIfTI-1's rounding into it.
    threshold = float(Nifti1Header.quaternion_threshold)
    try:
        bcd = _numbers([fields[name] for name in _QUATERNION])
        quaternion = fillpositive(bcd, threshold)
    except ValueError:
        raise malformed("the qform") from None
    rotation: Matrix = quat2mat(quaternion)
    return rotation


def _affine_rows(fields: Fields) -> Matrix:
    return _numbers([fields[name] for name in _ROWS])


def _numbers(values: Any) -> Matrix:
    return np.array(values, dtype=np.float64)
