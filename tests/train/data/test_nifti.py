"""Volumes: BraTS, LiTS and others -> axial slices in the order and units of DICOM."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from scanside.runtime.errors import ImageError, UnreadableImageError
from scanside.train.data.nifti import origin_of, read_volume
from scanside.train.data.patient import patient_key

SHAPE = (40, 36, 6)


def head(seed=0, shape=SHAPE):
    """(X, Y, Z) whole HU: a body in air, the last two slices without it."""
    rng = np.random.default_rng(seed)
    volume = np.full(shape, -1000, np.int16)
    volume[8:30, 8:28, :4] = rng.integers(0, 80, (22, 20, 4))
    return volume


def save(path, volume, affine=None, slope=None, units=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(volume, np.diag([0.8, 0.8, 5, 1]) if affine is None else affine)
    if slope is not None:
        image.header.set_slope_inter(*slope)
    nib.save(image, path)
    return path


def reason(path, modality=("CT",), smallest=16, folder=None):
    with pytest.raises(ImageError) as caught:
        read_volume(path, folder or path.parent, modality, smallest)
    return caught.value.reason


def test_lits_is_hu_patient_by_number(tmp_path):
    path = save(tmp_path / "volume-017.nii", head())
    slices, refused = read_volume(path, tmp_path, ("CT",), 16)
    assert len(slices) == 4
    assert refused == {"slice with too little body": 2}
    assert {one.patient for one in slices} == {patient_key("17")}
    assert slices[0].values.dtype == np.int16
    assert slices[0].pixel_mm == pytest.approx(0.8)
    # Rows to the patient's left, columns to the back, as DICOM has them.
    np.testing.assert_array_equal(slices[2].values, head()[::-1, ::-1, 2].T)
    assert reason(path, ("MR",)) == "another modality"


def test_axial_slices_come_of_any_storage_order(tmp_path):
    volume = head()
    straight = save(tmp_path / "a.nii", volume, np.diag([0.8, 0.8, 5, 1]))
    # The same body stored as (Z, -X, Y).
    stored = np.ascontiguousarray(volume[::-1].transpose(2, 0, 1))
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = 5, -0.8, 0.8, 1
    turned = save(tmp_path / "b.nii.gz", stored, affine)
    one = read_volume(straight, tmp_path, ("CT",), 16).slices
    other = read_volume(turned, tmp_path, ("CT",), 16).slices
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.values, second.values)
        assert first.pixel_mm == pytest.approx(second.pixel_mm)


def test_what_was_not_scanned_is_padding(tmp_path):
    volume = head()
    volume[:3] = -3024
    (first, *_) = read_volume(save(tmp_path / "a.nii", volume), tmp_path, ("CT",), 16).slices
    assert first.padding == (-3024, -3024)


def test_scaled_hu_are_rounded(tmp_path):
    stored = (head() + 1024).astype(np.int16)
    path = save(tmp_path / "a.nii", stored, slope=(0.5, -1024.2))
    first = read_volume(path, tmp_path, ("CT",), 16).slices[0]
    expected = np.rint(stored[::-1, ::-1, 0].T * 0.5 - 1024.2)
    assert np.abs(first.values - expected).max() <= 0  # nibabel scales in float64


def test_whole_mr_values_are_kept(tmp_path):
    volume = (head() + 1000).astype(np.float32)
    path = save(tmp_path / "case_7" / "case_7_t1.nii.gz", volume)
    slices, _ = read_volume(path, tmp_path, ("MR",), 16)
    assert slices[0].values.dtype == np.uint16
    np.testing.assert_array_equal(slices[1].values, volume[::-1, ::-1, 1].T)
    assert slices[0].bits == int(volume.max()).bit_length()


def test_fractions_are_mapped_to_twelve_bits_linearly(tmp_path):
    volume = np.zeros(SHAPE, np.float32)
    volume[8:30, 8:28, :4] = np.random.default_rng(0).uniform(0.3, 1.7, (22, 20, 4))
    volume -= 0.25
    slices, _ = read_volume(save(tmp_path / "a.nii", volume), tmp_path, ("MR",), 16)
    low, high = volume.min(), volume.max()
    expected = (volume[::-1, ::-1, 0].T - low) / (high - low) * 4095
    assert slices[0].bits == 12
    assert np.abs(slices[0].values - expected).max() <= 0.51
    assert max(one.values.max() for one in slices) == 4095


@pytest.mark.parametrize(
    ("path", "patient", "modality"),
    [
        ("BraTS20_Training_001/BraTS20_Training_001_t1ce.nii.gz", "BraTS20_Training_001", "MR"),
        ("HGG/Brats18_2013_2_1/Brats18_2013_2_1_flair.nii.gz", "Brats18_2013_2_1", "MR"),
        ("patient_3/scan_t2.nii", "patient_3", "MR"),
        ("patient_3_t2.nii", "patient_3", "MR"),
        ("BraTS-GLI-00005-001/BraTS-GLI-00005-001-t1n.nii.gz", "BraTS-GLI-00005", "MR"),
        ("batch 1/volume-12.nii", "12", "CT"),
        ("sub-01/anat/sub-01_T1w.nii.gz", "01", ""),
        ("site/one.nii.gz", "site/one", ""),
    ],
)
def test_layouts(tmp_path, path, patient, modality):
    assert origin_of(tmp_path / path, tmp_path) == (patient, modality)


def test_times_and_contrasts_of_one_patient_are_one_patient(tmp_path):
    names = [f"BraTS-GLI-00005-00{time}" for time in (0, 1)]
    paths = [tmp_path / name / f"{name}-{kind}.nii" for name in names for kind in ("t1c", "t2f")]
    assert len({origin_of(path, tmp_path).patient for path in paths}) == 1


@pytest.mark.parametrize(
    "name",
    [
        "BraTS20_Training_001_seg.nii.gz",
        "BraTS-GLI-00005-000-seg.nii.gz",
        "segmentation-3.nii",
        "liver_mask.nii.gz",
        "labelsTr/liver_001.nii.gz",
    ],
)
def test_segmentations_are_left_out(tmp_path, name):
    path = save(tmp_path / name, (head() > 0).astype(np.uint8))
    assert reason(path, ("MR",)) == "segmentation"
    assert reason(path, ("CT",)) == "segmentation"


def test_what_is_not_trained_on(tmp_path):
    mr = (head() + 1000).astype(np.int16)
    assert reason(save(tmp_path / "mr.nii", mr)) == "not HU"
    assert reason(save(tmp_path / "ct.nii", head()), ("MR",)) == "another modality"
    assert reason(save(tmp_path / "any.nii", mr), ("DX",)) == "another modality"
    assert reason(save(tmp_path / "small.nii", head()), smallest=37) == "too small"
    assert reason(save(tmp_path / "flat.nii", np.full(SHAPE, -1000, np.int16))) == "constant"
    assert reason(save(tmp_path / "time.nii", np.stack([head()] * 2, -1))) == "not a volume"
    holes = head().astype(np.float32)
    holes[0, 0, 0] = np.nan
    assert reason(save(tmp_path / "nan.nii", holes)) == "not finite"
    sagittal = np.diag([5, 0.8, 0.8, 1])
    assert reason(save(tmp_path / "sagittal.nii", head(), sagittal)) == "pixels not square"


def test_a_fourth_axis_of_one_is_no_fourth_axis(tmp_path):
    path = save(tmp_path / "one.nii", head()[..., None])
    assert len(read_volume(path, tmp_path, ("CT",), 16).slices) == 4


def test_damage_is_a_typed_refusal(tmp_path):
    whole = save(tmp_path / "whole.nii", head()).read_bytes()
    packed = gzip.compress(whole)
    huge = bytearray(whole)
    huge[40:56] = np.array([3, 30000, 30000, 30000, 1, 1, 1, 1], "<i2").tobytes()
    negative = bytearray(whole)
    negative[40:56] = np.array([3, -4, 36, 6, 1, 1, 1, 1], "<i2").tobytes()
    kind = bytearray(whole)
    kind[70:72] = np.array([999], "<i2").tobytes()
    bad = {
        "empty.nii": b"",
        "text.nii": b"Zebra" * 100,
        "header.nii": whole[:300],
        "cut.nii": whole[:-900],
        "cut.nii.gz": packed[: len(packed) // 2],
        "text.nii.gz": b"Zebra" * 100,
        "huge.nii": huge,
        "negative.nii": negative,
        "kind.nii": kind,
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError) as caught:
            read_volume(tmp_path / name, tmp_path, ("CT",), 16)
        assert "Zebra" not in str(caught.value)
        if name.startswith("huge"):
            assert caught.value.reason == "too large"
        elif not name.startswith("negative"):
            assert isinstance(caught.value, UnreadableImageError), name


def test_an_affine_of_rubbish_is_a_malformed_header(tmp_path):
    path = save(tmp_path / "flat.nii", head())
    content = bytearray(path.read_bytes())
    content[280:328] = np.zeros(12, "<f4").tobytes()  # srow
    content[252:256] = np.array([0, 1], "<i2").tobytes()  # qform_code, sform_code
    path.write_bytes(content)
    assert reason(path) == "malformed header"
