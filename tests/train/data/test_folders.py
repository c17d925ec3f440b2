"""Any mix of files: what is taken, what is left out, and that each is counted."""

import shutil

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from dicoms import NAME, make_dicom, save
from scanside.runtime.errors import NoImagesError
from scanside.train.data.folders import bundled_ct, read_folders


def test_real_ct_is_read_in_hu(data_dir):
    found = read_folders([data_dir / "ct_ge_hispeed_dual"], ("CT",), 96)
    assert found.taken == {"DICOM series": 28}
    assert not found.refused
    one = found.slices[10]
    assert one.values.shape == (512, 512)
    assert one.pixel_mm == pytest.approx(0.488, abs=0.001)
    assert one.padding == (-1500, -1500)
    tissue = one.values[(one.values > -100) & (one.values < 100)]
    assert 20 < np.median(tissue) < 45  # brain


def test_real_mr(data_dir):
    found = read_folders([data_dir / "mr_siemens_prisma"], ("MR",), 96)
    assert found.taken == {"DICOM series": 35}
    assert found.slices[0].values.dtype == np.uint16
    assert found.slices[0].bits == 12


def test_odd_files_as_ct(data_dir):
    found = read_folders([data_dir / "odd"], ("CT",), 96)
    assert found.taken == {"single DICOM images": 3}
    assert found.refused == {
        "mosaic": 11,
        "another modality": 8,
        "colour": 3,
        "not HU": 2,
        "modality LUT": 1,
        "transfer syntax": 1,
    }


def test_odd_files_as_mr(data_dir):
    found = read_folders([data_dir / "odd"], ("MR",), 96)
    assert found.taken == {"DICOM series": 40, "single DICOM images": 1}
    assert found.refused["duplicate positions"] == 2  # one image in two encodings
    assert found.refused["series without geometry"] == 1


def test_bad_files(data_dir):
    found = read_folders([data_dir / "bad"], ("CT", "CR"), 96)
    assert found.taken == {"single DICOM images": 2}
    assert found.refused == {
        "truncated": 3,
        "no pixels": 2,
        "bits": 1,
        "decoder failed": 1,
        "malformed header": 1,
        "not DICOM": 1,
    }


def test_a_refused_series_counts_all_its_files_and_spares_the_others(make_series):
    holed = make_series([0.0, 4.0, 12.0, 16.0], name=["both", "holed"][0])
    whole = make_series([0.0, 4.0, 8.0], name="whole", PatientID="other")
    for path in whole:  # two series in one folder, mixed by name
        shutil.copy(path, holed[0].parent / f"whole_{path.name}")
    found = read_folders([holed[0].parent], ("CT",), 16)
    assert found.refused == {"missing positions": 4}
    assert found.taken == {"DICOM series": 3}


def test_two_whole_series_in_one_folder_are_both_taken(make_series):
    one = make_series([0.0, 4.0], name="one")
    two = make_series([1.0, 3.0, 5.0], name="two")
    found = read_folders([one[0].parent.parent], ("CT",), 16)
    assert len(two) == 3
    assert found.taken == {"DICOM series": 5}
    assert not found.refused


def test_a_localiser_is_left_out_and_its_series_taken(make_series):
    kinds = [["ORIGINAL", "PRIMARY", "AXIAL"]] * 2 + [["ORIGINAL", "PRIMARY", "LOCALIZER"]]
    across = [[1, 0, 0, 0, 1, 0]] * 2 + [[1, 0, 0, 0, 0, -1]]
    each = {"ImageType": kinds, "ImageOrientationPatient": across}
    paths = make_series([0.0, 4.0, 8.0], each=each)
    found = read_folders([paths[0].parent], ("CT",), 16)
    assert found.refused == {"localiser": 1}
    assert found.taken == {"DICOM series": 2}


def test_a_mixed_series_is_refused_whole(make_series):
    paths = make_series([0.0, 4.0, 8.0], each={"Modality": ["CT", "CT", "MR"]})
    make_series([0.0], name="fine")
    found = read_folders([paths[0].parent.parent], ("CT",), 16)
    assert found.refused == {"mixed series": 3}


def test_a_directory_file_is_left_out(make_series):
    paths = make_series([0.0, 4.0])
    shutil.copy(str(get_testdata_file("DICOMDIR", download=False)), paths[0].parent)
    found = read_folders([paths[0].parent], ("CT",), 16)
    assert found.refused == {"DICOMDIR": 1}


def test_a_truncated_slice_makes_a_hole(make_series):
    paths = make_series([0.0, 4.0, 8.0, 12.0])
    make_series([0.0], name="fine")
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    found = read_folders([paths[0].parent.parent], ("CT",), 16)
    assert found.refused == {"truncated": 1, "missing positions": 3}


def test_a_constant_slice_is_left_out_but_makes_no_hole(make_series):
    paths = make_series([0.0, 4.0, 8.0], each={"PixelData": [b"\0\1" * 32**2, b"\0" * 2048, None]})
    found = read_folders([paths[0].parent], ("CT",), 16)
    assert found.refused == {"constant": 2}
    assert len(found.slices) == 1


def test_small_images_are_left_out_but_need_not_be_square(make_series, tmp_path):
    words = np.random.default_rng(0).integers(0, 90, (20, 48)).astype(np.int16)
    elements = {"RescaleSlope": 1, "RescaleIntercept": 0}
    save(make_dicom(words, **elements), tmp_path / "wide.dcm")
    save(make_dicom(words[:15], **elements), tmp_path / "low.dcm")
    found = read_folders([tmp_path], ("CT",), 16)
    assert [one.values.shape for one in found.slices] == [(20, 48)]
    assert found.refused == {"too small": 1}


def _mixed_tree(folder):
    """An MR image of each kind: DICOM, NIfTI, PNG; and files that are none."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 900, (32, 32)).astype(np.uint16)
    save(make_dicom(words, Modality="MR"), folder / "one.dcm")
    brats = folder / "Zebra_001"
    brats.mkdir()
    for kind in ("t1", "t2", "seg"):
        volume = nib.Nifti1Image(rng.integers(0, 900, (32, 32, 3)).astype(np.int16), np.eye(4))
        nib.save(volume, brats / f"Zebra_001_{kind}.nii.gz")
    for name in ("5_000.png", "5_001.png", "6_000.png"):
        Image.fromarray(rng.integers(0, 255, (32, 32)).astype(np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("nothing to see")
    (folder / "table.csv").write_text("a,b\n")


def test_any_mix_of_formats(tmp_path):
    _mixed_tree(tmp_path)
    found = read_folders([tmp_path], ("MR",), 16)
    assert found.taken == {
        "single DICOM images": 1,
        "NIfTI volumes": 6,
        "pictures (patient by file name)": 3,
    }
    assert found.refused == {"segmentation": 1, "not DICOM": 1}
    assert len({one.patient for one in found.slices}) == 4


def test_the_summary_tells_numbers_and_no_names(tmp_path):
    _mixed_tree(tmp_path)
    lines = read_folders([tmp_path], ("MR",), 16).summary()
    assert lines == [
        "10 images of 4 patients taken",
        "  6 from NIfTI volumes",
        "  3 from pictures (patient by file name)",
        "  1 from single DICOM images",
        "2 left out: 1 not DICOM, 1 segmentation",
    ]
    assert NAME not in "".join(lines)


def test_overlapping_folders_are_read_once(make_series):
    folder = make_series([0.0, 4.0, 8.0])[0].parent
    found = read_folders([folder, folder.parent, folder / "00.dcm"], ("CT",), 16)
    assert found.taken == {"DICOM series": 3}


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(NoImagesError):
        read_folders([tmp_path], ("CT",), 96)
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(NoImagesError, match="no CT image in 1 files could be used: 1 not DICOM"):
        read_folders([tmp_path], ("CT",), 96)
    with pytest.raises(NoImagesError, match="does not exist"):
        read_folders([tmp_path / "missing"], ("CT",), 96)


def test_pydicom_brings_one_ct_slice():
    (one,) = bundled_ct()
    assert one.values.shape == (128, 128)
    assert one.values.min() >= -1024
