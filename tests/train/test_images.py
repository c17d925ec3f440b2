"""Slices from folders: what is taken, what is left out, and no patient on two sides."""

import numpy as np
import pytest

from dicoms import make_dicom, save
from scanside.runtime.errors import NoImagesError
from scanside.train.images import Slice, bundled_ct, read_folders, split_by_patient


def test_real_ct_is_read_in_hu(data_dir):
    found = read_folders([data_dir / "ct_ge_hispeed_dual"], ("CT",), 96)
    assert len(found.slices) == 28
    assert not found.refused
    one = found.slices[10]
    assert one.hu.shape == (512, 512)
    assert one.pixel_mm == pytest.approx(0.488, abs=0.001)
    assert one.padding == (-1500, -1500)
    tissue = one.hu[(one.hu > -100) & (one.hu < 100)]
    assert 20 < np.median(tissue) < 45  # brain


def test_other_modalities_and_broken_files_are_counted_not_taken(data_dir):
    found = read_folders([data_dir / "odd", data_dir / "bad"], ("CT",), 96)
    assert found.slices
    assert sum(found.refused.values()) > 20
    assert {"another modality, not square, or constant", "mosaic", "truncated"} <= set(
        found.refused
    )


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(NoImagesError):
        read_folders([tmp_path], ("CT",), 96)
    with pytest.raises(NoImagesError):
        read_folders([tmp_path / "missing"], ("CT",), 96)


def test_no_patient_is_on_two_sides():
    pixels = np.zeros((4, 4), np.int16)
    slices = [Slice(pixels, 1.0, None, f"patient {index % 7}") for index in range(40)]
    training, held = split_by_patient(slices)
    assert held
    assert len(training) + len(held) == 40
    assert not {one.patient for one in training} & {one.patient for one in held}


def test_a_patient_of_the_default_data_is_never_held_out():
    pixels = np.zeros((4, 4), np.int16)
    slices = [Slice(pixels, 1.0, None, name) for name in ("a", "b", "c")]
    _, held = split_by_patient(slices, [Slice(pixels, 1.0, None, "a")])
    assert held
    assert "a" not in {one.patient for one in held}


@pytest.mark.parametrize("spacing", [None, "0.5", ["0", "0"], ["1e9", "1"], ["0.7", "0.7"]])
def test_an_odd_pixel_spacing_stops_nothing(tmp_path, spacing):
    words = np.random.default_rng(0).integers(0, 90, (32, 32)).astype(np.int16)
    dataset = make_dicom(words, Modality="CT")
    if spacing is not None:
        dataset.PixelSpacing = spacing
    save(dataset, tmp_path / "one.dcm")
    (one,) = read_folders([tmp_path], ("CT",), 16).slices
    assert one.pixel_mm == 0.7


def test_one_patient_alone_is_not_split():
    slices = [Slice(np.zeros((4, 4), np.int16), 1.0, None, "only")] * 3
    assert split_by_patient(slices) == (slices, [])


def test_pydicom_brings_one_ct_slice():
    (one,) = bundled_ct()
    assert one.hu.shape == (128, 128)
    assert one.hu.min() >= -1024
