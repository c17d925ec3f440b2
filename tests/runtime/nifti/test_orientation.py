"""However a volume is stored, the model sees the same upright slices, and the file its own way."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dicoms import note, repeat_twice
from scanside.runtime.nifti.convert import VolumeRules, convert_volume
from scanside.runtime.nifti.orientation import Orientation, orientation_of

nibabel = pytest.importorskip("nibabel")

# Directions in NIfTI's world (right, front, head) as scanners write each plane.
LEFT, BACK, FEET, HEAD, RIGHT = [-1, 0, 0], [0, -1, 0], [0, 0, -1], [0, 0, 1], [1, 0, 0]
PLANES = {
    "axial": (LEFT, BACK, HEAD),
    "sagittal": (BACK, FEET, RIGHT),
    "coronal": (LEFT, FEET, BACK),
}
VOXELS = np.random.default_rng(0).integers(0, 900, (6, 5, 2)).astype(np.int16)
STORAGES = list(itertools.product([False, True], repeat=3))


def _stored(plane: str, flips: tuple[bool, bool], swap: bool) -> Any:
    """VOXELS (columns, rows, slices, upright) stored otherwise, its affine saying how."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(PLANES[plane]).T * [0.7, 0.9, 4]
    turn, _ = np.linalg.qr(np.eye(3) + 0.2 * np.random.default_rng(1).standard_normal((3, 3)))
    affine[:3, :3] = (turn * np.sign(np.diag(turn))) @ affine[:3, :3]  # a little oblique
    steps: npt.NDArray[Any] = np.array([[0, 1], [1, 1], [2, 1]])
    steps[:2, 1] = [-1 if flip else 1 for flip in flips]
    if swap:
        steps[:2, 0] = [1, 0]
    return nibabel.Nifti1Image(VOXELS, affine).as_reoriented(steps)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("form", ["sform", "qform"])
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_every_storage_of_a_slice_is_seen_alike(
    tmp_path: Path, plane: str, storage: tuple[bool, bool, bool], form: str, scale: int, dtype: Any
) -> None:
    image = _stored(plane, storage[:2], storage[2])
    affine = image.affine
    image = nibabel.Nifti1Image(np.asarray(image.dataobj).astype(dtype), affine)
    image.set_qform(affine, int(form == "qform"))
    image.set_sform(affine, int(form == "sform"))
    image.to_filename(tmp_path / "in.nii")
    seen = []

    def run(words: Any, facts: Any) -> Any:
        seen.append(words[0])
        return repeat_twice(words, facts) if scale == 2 else words

    rules = VolumeRules("MR", False)
    convert_volume(tmp_path / "in.nii", tmp_path / "out.nii", run, note(scale), rules)
    frames = np.stack(seen).astype(np.float64)
    if dtype == np.float32:  # the same values in steps of a power of two
        frames = frames * np.ptp(VOXELS) / np.ptp(frames) + VOXELS.min()
    np.testing.assert_allclose(frames, VOXELS.transpose(2, 1, 0), atol=1e-9)
    got = np.asarray(nibabel.load(tmp_path / "out.nii").dataobj)
    stored = np.asarray(image.dataobj)
    if scale == 1:
        np.testing.assert_array_equal(got, stored)
    elif dtype == np.int16:
        np.testing.assert_array_equal(got, stored.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("storage", STORAGES)
def test_the_way_back_is_the_inverse(storage: tuple[bool, bool, bool]) -> None:
    orientation = Orientation(*storage)
    frame = np.arange(30).reshape(5, 6)
    upright = orientation.upright(frame)
    assert upright.flags.c_contiguous
    np.testing.assert_array_equal(orientation.as_stored(upright), frame)


def test_without_a_form_slices_go_as_they_are_stored() -> None:
    assert orientation_of(nibabel.Nifti1Header().structarr) == Orientation()
