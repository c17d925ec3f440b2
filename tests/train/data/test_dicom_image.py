"""Pixels of a file as whole modality values, and what is not to be trained on."""

import numpy as np
import pytest

from dicoms import make_dicom, save
from scanside.train.data.dicom_image import read_frames
from scanside.train.data.patient import patient_key

WORDS = np.array([[0, 1, 2], [500, 1000, 4095]], np.uint16)


def read(tmp_path, words=WORDS, modality="MR", wanted=None, bits=12, **elements):
    dataset = make_dicom(words, bits=bits, Modality=modality, **elements)
    (frame,) = read_frames(save(dataset, tmp_path / "one.dcm"), (wanted or modality,))
    return frame


def test_ct_is_hu(tmp_path):
    piece = read(tmp_path, modality="CT", RescaleSlope=1, RescaleIntercept=-1024).piece
    assert piece.values.dtype == np.int16
    np.testing.assert_array_equal(piece.values, WORDS.astype(int) - 1024)
    assert piece.limits == (-4096, 4095)  # the fewest bits that hold -1024..3071


def test_a_slope_is_applied_and_rounded(tmp_path):
    piece = read(tmp_path, RescaleSlope="3.774114", RescaleIntercept="0.000061").piece
    assert piece.values.dtype == np.uint16
    np.testing.assert_array_equal(piece.values, np.rint(WORDS * 3.774114))
    assert piece.limits == (0, 16383)


def test_a_real_slope(data_dir):
    (frame,) = read_frames(data_dir / "odd" / "MR2_J2KR.dcm", ("MR",))
    assert frame.piece.values.max() == round(595 * 3.774114)


@pytest.mark.parametrize(("slope", "intercept"), [("0.1", "0"), ("250", "0"), ("0.5", "10")])
def test_a_slope_that_would_lose_grey_levels_is_left_out(tmp_path, slope, intercept):
    piece = read(tmp_path, RescaleSlope=slope, RescaleIntercept=intercept).piece
    offset = float(intercept) / float(slope)
    np.testing.assert_array_equal(piece.values, WORDS + offset)


def test_monochrome1_is_turned_round(tmp_path):
    words = np.array([[7, 0], [100, 1023]], np.uint16)
    piece = read(
        tmp_path,
        words,
        "CR",
        bits=10,
        PhotometricInterpretation="MONOCHROME1",
        PixelPaddingValue=7,
    ).piece
    np.testing.assert_array_equal(piece.values, 1023 - words)
    assert piece.padding == (1016, 1016)


def test_padding_is_in_modality_values(tmp_path):
    words = np.array([[-2000, -1500], [0, 90]], np.int16)
    elements = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1500}
    piece = read(
        tmp_path, words, "CT", bits=16, RescaleSlope=2, RescaleIntercept=-10, **elements
    ).piece
    assert piece.padding == (-4010, -3010)


@pytest.mark.parametrize(
    ("modality", "elements", "reason"),
    [
        ("CT", {}, "not HU"),
        ("CT", {"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "US"}, "not HU"),
        ("CT", {"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "HU"}, ""),
        (
            "CT",
            {
                "RescaleSlope": 1,
                "RescaleIntercept": 0,
                "ImageType": ["DERIVED", "PRIMARY", "PERFUSION", "RCBF"],
            },
            "not HU",
        ),
        ("CT", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localiser"),
        ("MR", {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "phase image"),
        ("MR", {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]}, ""),
        ("MR", {"RescaleSlope": 1, "RescaleIntercept": -5}, "negative values"),
    ],
)
def test_what_is_not_trained_on(tmp_path, modality, elements, reason):
    frame = read(tmp_path, modality=modality, **elements)
    assert frame.reason == reason
    assert (frame.piece is None) == bool(reason)


def test_another_modality_has_no_pixels(tmp_path):
    frame = read(tmp_path, modality="MR", wanted="CT")
    assert (frame.piece, frame.reason) == (None, "another modality")


def test_an_image_of_one_value_beside_padding_is_constant(tmp_path):
    words = np.array([[0, 0], [5, 5]], np.uint16)
    assert read(tmp_path, words, PixelPaddingValue=0).reason == "constant"
    assert read(tmp_path, words).reason == ""


@pytest.mark.parametrize(
    ("spacing", "side"),
    [
        (None, 0.7),
        ("0.5", 0.7),
        (["0", "0"], 0.7),
        (["1e9", "1"], 0.7),
        (["-1", "-1"], 0.7),
        (["0.5", "0.5"], 0.5),
        (["0.4", "0.9"], 0.6),
    ],
)
def test_an_odd_pixel_spacing_stops_nothing(tmp_path, spacing, side):
    elements = {} if spacing is None else {"PixelSpacing": spacing}
    assert read(tmp_path, **elements).piece.pixel_mm == pytest.approx(side)


def test_the_patient_is_known_by_the_number_alone(tmp_path):
    def patient(**elements):
        return read(tmp_path, **elements).piece.patient

    assert patient(PatientID="7", PatientName="A^B") == patient(PatientID=" 007", PatientName="")
    assert patient(PatientID="7") != patient(PatientID="8")
    assert patient(PatientID="", PatientName="A^B") != patient(PatientID="", PatientName="C^D")


def test_a_key_tells_nobody_who_it_is():
    key = patient_key("Zebra-12345")
    assert len(key) == 64
    assert "zebra" not in key
    assert key == patient_key(" zebra-12345 ")
