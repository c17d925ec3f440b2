"""Voxels as frames, and files that are cut, swollen or changed."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanside.runtime.errors import UnreadableImageError, UnsupportedImageError
from scanside.runtime.nifti.read import check_pair, is_nifti, read_volume

nibabel = pytest.importorskip("nibabel")

VOXELS = np.random.default_rng(0).integers(-900, 900, (5, 4, 3)).astype(np.int16)


def save(path: Path, voxels: Any = VOXELS, kind: str = "Nifti1Image") -> Path:
    getattr(nibabel, kind)(voxels, np.eye(4)).to_filename(path)
    return path


def reason_of(path: Path) -> str:
    with pytest.raises((UnreadableImageError, UnsupportedImageError)) as caught:
        read_volume(path)
    assert caught.value.next_step
    return caught.value.reason


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", ["Nifti1Image", "Nifti2Image"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "f4", "f8"])
def test_rows_run_along_the_second_axis(tmp_path: Path, name: str, kind: str, dtype: str) -> None:
    voxels = np.abs(VOXELS % 100).astype(dtype)
    frames = read_volume(save(tmp_path / name, voxels, kind)).voxels
    assert frames.dtype == np.dtype(dtype)
    assert frames.shape == (3, 4, 5)
    np.testing.assert_array_equal(frames, voxels.transpose(2, 1, 0))


def test_time_is_the_slowest_axis(tmp_path: Path) -> None:
    voxels = np.stack([VOXELS, VOXELS + 1], axis=3)
    frames = read_volume(save(tmp_path / "a.nii", voxels)).voxels
    np.testing.assert_array_equal(frames[:3], VOXELS.transpose(2, 1, 0))
    np.testing.assert_array_equal(frames[3:], VOXELS.transpose(2, 1, 0) + 1)


def test_big_endian_and_extensions(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header(endianness=">")
    header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Secret" * 99))
    nibabel.Nifti1Image(VOXELS, np.eye(4), header).to_filename(tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:4] == b"\0\0\x01\x5c"
    volume = read_volume(tmp_path / "a.nii")
    assert volume.header.offset > 352
    assert volume.voxels.dtype.isnative
    np.testing.assert_array_equal(volume.voxels, VOXELS.transpose(2, 1, 0))


def test_every_cut_is_refused(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.nii").read_bytes()
    packed = gzip.compress(whole)
    for name, content in (("cut.nii", whole), ("cut.nii.gz", packed)):
        for length in range(0, len(content), 7):
            (tmp_path / name).write_bytes(content[:length])
            assert reason_of(tmp_path / name) in ("truncated", "not NIfTI")


def test_bytes_after_the_voxels_are_refused(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.nii").read_bytes() + b"x"
    (tmp_path / "a.nii").write_bytes(whole)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(whole))
    assert reason_of(tmp_path / "a.nii") == reason_of(tmp_path / "a.nii.gz") == "damaged"


def test_changed_bits_in_a_compressed_file_are_noticed(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(save(tmp_path / "a.nii").read_bytes()))
    for place in (len(packed) // 2, len(packed) - 7):  # a voxel, the sum
        changed = bytearray(packed)
        changed[place] ^= 0x10
        (tmp_path / "b.nii.gz").write_bytes(changed)
        assert reason_of(tmp_path / "b.nii.gz") in ("damaged", "truncated")


def _peak_mib(path: Path) -> tuple[str, float]:
    tracemalloc.start()
    try:
        reason = reason_of(path)
        return reason, tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_read_no_further_than_its_header_says(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.nii").read_bytes()
    zeros = gzip.compress(bytes(2**24))
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(whole) + zeros * 64)  # a GiB
    reason, peak = _peak_mib(tmp_path / "bomb.nii.gz")
    assert reason == "damaged"
    assert peak < 8


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_huge_dimensions_cost_no_memory(tmp_path: Path, name: str) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((1024, 1024, 1023))  # just under the cap
    header["vox_offset"] = 352
    content = header.binaryblock + bytes(2000)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    reason, peak = _peak_mib(tmp_path / name)
    assert reason == "truncated"
    assert peak < 8


def test_names_and_pairs(tmp_path: Path) -> None:
    assert is_nifti(Path("a.NII.gz"))
    assert is_nifti(Path("b.nii"))
    assert not is_nifti(Path("nii"))
    assert not is_nifti(Path("a.nii.dcm"))
    save(tmp_path / "a.img", kind="Nifti1Pair")
    (tmp_path / "lonely.img").write_bytes(b"no header beside it")
    for name in ("a.img", "a.hdr"):
        with pytest.raises(UnsupportedImageError, match="two files"):
            check_pair(tmp_path / name)
    check_pair(tmp_path / "lonely.img")
    (tmp_path / "a.hdr").rename(tmp_path / "a.nii")
    assert reason_of(tmp_path / "a.nii") == "NIfTI pair"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "nowhere.nii") == "not readable"
