"""A magnified volume lies where its source lay, whichever form says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from scanside.runtime.nifti.geometry import check_geometry, magnify_geometry

nibabel = pytest.importorskip("nibabel")

# New indices -> old indices: in-plane voxels half as large, outer edges where they were.
DOUBLED = np.array([[0.5, 0, 0, -0.25], [0, 0.5, 0, -0.25], [0, 0, 1, 0], [0, 0, 0, 1]])


def rigid(seed: int, mirrored: bool) -> npt.NDArray[np.float64]:
    """A rotation with anisotropic voxels and an offset; mirrored needs qfac -1."""
    generator = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(generator.standard_normal((3, 3)))
    if (np.linalg.det(axes) < 0) != mirrored:
        axes[:, 2] *= -1
    affine = np.eye(4)
    affine[:3, :3] = axes * [0.7, 1.3, 4.0]
    affine[:3, 3] = generator.uniform(-100, 100, 3)
    return affine


@pytest.mark.parametrize("kind", ["Nifti1Header", "Nifti2Header"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_both_forms_become_what_the_grid_says(kind: str, mirrored: bool, seed: int) -> None:
    header = getattr(nibabel, kind)()
    header.set_data_shape((6, 5, 4))
    header.set_qform(rigid(seed, mirrored), 1)
    sheared = rigid(seed + 100, mirrored) @ np.array(
        [[1, 0.1, 0.2, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    header.set_sform(sheared, 2)
    qform, sform = header.get_qform(), header.get_sform()
    assert header["pixdim"][0] == (-1 if mirrored else 1)
    magnify_geometry(header.structarr, 2)
    np.testing.assert_allclose(header.get_qform(), qform @ DOUBLED, atol=2e-5)
    np.testing.assert_allclose(header.get_sform(), sform @ DOUBLED, atol=2e-5)
    assert (header["qform_code"], header["sform_code"]) == (1, 2)
    np.testing.assert_allclose(header["pixdim"][1:4], [0.35, 0.65, 4], rtol=1e-6)
    assert header["pixdim"][0] == (-1 if mirrored else 1)


def test_forms_that_are_not_in_use_stay_as_they_are() -> None:
    header = nibabel.Nifti1Header()
    header.structarr["srow_x"] = [np.nan, 1, 2, 3]
    header.structarr["qoffset_x"] = 5
    magnify_geometry(header.structarr, 2)
    np.testing.assert_array_equal(header["srow_x"], [np.nan, 1, 2, 3])
    assert header["qoffset_x"] == 5
    assert list(header["pixdim"][1:4]) == [0.5, 0.5, 1]


@pytest.mark.parametrize(("axis", "kept"), [(0, False), (1, False), (2, True)])
def test_slice_timing_along_a_magnified_axis_is_dropped(axis: int, kept: bool) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_shape((6, 5, 4))
    header.set_dim_info(freq=(axis + 1) % 3, phase=(axis + 2) % 3, slice=axis)
    timing: dict[str, Any] = {"slice_code": 1, "slice_end": 3, "slice_duration": 0.5}
    for name, value in timing.items():
        header.structarr[name] = value
    magnify_geometry(header.structarr, 2)
    assert {name: header[name] for name in timing} == (timing if kept else dict.fromkeys(timing, 0))


def test_half_turns_within_rounding_are_rotations() -> None:
    header = nibabel.Nifti2Header()
    header.structarr["qform_code"] = 1
    header.structarr["quatern_b"] = np.float64(np.float32(0.6)) * (1 + 1e-7)
    header.structarr["quatern_c"] = 0.8
    check_geometry(header.structarr)
