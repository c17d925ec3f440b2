"""What becomes of every file of data/odd and data/bad when nothing is changed in its pixels."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from dicoms import decoded_words, identity, note, repeat_twice
from scanside.runtime.dicom.convert import convert
from scanside.runtime.errors import ImageError, PartialError, ScansideError

IDENTICAL = "identical"

# File -> IDENTICAL, or the reason of the refusal.
ODD = {
    "CT-MONO2-16-ankle": IDENTICAL,
    "CT2_J2KR": IDENTICAL,
    "CT_small.dcm": IDENTICAL,
    "JPEG-LL.dcm": IDENTICAL,
    "JPGExtended.dcm": "transfer syntax",
    "MR2_J2KR.dcm": IDENTICAL,
    "MR_small_bigendian.dcm": IDENTICAL,
    "MR_small_padded.dcm": IDENTICAL,
    "OBXXXX1A_rle.dcm": "colour",
    "OutOfBoundsOverlay.dcm": IDENTICAL,
    "RG3_J2KR.dcm": IDENTICAL,
    "US1_UNCR.dcm": "colour",
    "eCT_Supplemental.dcm": IDENTICAL,
    "emri_small_RLE.dcm": IDENTICAL,
    "examples_ybr_color.dcm": "colour",
    "explicit_VR-UN.dcm": IDENTICAL,
    "mlut_18.dcm": "modality LUT",
    "philips_elition_enh_1901_WIP_3DpCASL_real.dcm": IDENTICAL,
    "siemens_skyra_epi_pe_ap-00001.dcm": "mosaic",
    "siemens_trio_12bitSigned_0x0F0F.dcm": "mosaic",
    "siemens_trio_12bitUnsigned.dcm": "mosaic",
    "siemens_trio_12bitUnsigned_0x0F0F.dcm": "mosaic",
    "siemens_trio_ts_1.dcm": "mosaic",
    "siemens_trio_ts_2.dcm": "mosaic",
    "siemens_trio_ts_3.dcm": "mosaic",
    "siemens_trio_ts_4.dcm": "mosaic",
    "siemens_trio_ts_5.dcm": "mosaic",
    "siemens_trio_ts_7.dcm": "mosaic",
    "siemens_trio_ts_9.dcm": "mosaic",
}
BAD = {
    "CR-MONO1-10-chest": IDENTICAL,  # no file meta, but nothing else can be meant
    "JPEG2000-embedded-sequence-delimiter.dcm": "decoder failed",
    "MR_truncated.dcm": "truncated",
    "badVR.dcm": "bits",
    "bad_sequence.dcm": IDENTICAL,  # the broken sequence is private to the header
    "emri_small_jpeg_2k_lossless_too_short.dcm": "truncated",
    "meta_missing_tsyntax.dcm": "malformed header",
    "no-pixel-data.dcm": "no pixels",
    "no_meta.dcm": "not DICOM",  # a stray byte comes first
    "no_meta_group_length.dcm": "no pixels",
    "rtplan_truncated.dcm": "truncated",
}
TABLE = {f"odd/{k}": v for k, v in ODD.items()} | {f"bad/{k}": v for k, v in BAD.items()}
READABLE = [name for name, outcome in TABLE.items() if outcome == IDENTICAL]
# The mosaics cover the transfer syntaxes and the bits above Bits Stored: with another word for
# MOSAIC, of the same length, they are images like any other.
DISGUISED = [name for name, outcome in ODD.items() if outcome == "mosaic"]
KEPT = """
    Rows Columns NumberOfFrames BitsAllocated BitsStored HighBit PixelRepresentation SOPClassUID
    PhotometricInterpretation SamplesPerPixel RescaleSlope RescaleIntercept PixelPaddingValue
    PixelSpacing ImagePositionPatient ImageOrientationPatient FrameOfReferenceUID StudyInstanceUID
    PatientName PatientID Modality LossyImageCompression
"""


def test_the_table_covers_the_folders(data_dir: Path) -> None:
    present = {f"{kind}/{p.name}" for kind in ("odd", "bad") for p in (data_dir / kind).iterdir()}
    assert present == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_outcome(
    data_dir: Path,
    tmp_path: Path,
    name: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    source, result = data_dir / name, tmp_path / "out" / "result.dcm"
    before = source.read_bytes()
    message = ""
    try:
        convert(source, result, identity, note())
        outcome = IDENTICAL
    except ImageError as error:
        outcome, message = error.reason, str(error)
    assert outcome == TABLE[name]
    assert not caplog.records
    assert source.read_bytes() == before
    if outcome == IDENTICAL:
        _assert_same_image(source, result)
    else:
        assert not (tmp_path / "out").exists()
    captured = capfd.readouterr()
    _assert_private(source, captured.out + captured.err + message)


@pytest.mark.parametrize("name", DISGUISED)
def test_outcome_of_a_mosaic_in_disguise(data_dir: Path, tmp_path: Path, name: str) -> None:
    source = tmp_path / "source.dcm"
    source.write_bytes((data_dir / "odd" / name).read_bytes().replace(b"MOSAIC", b"TILED "))
    convert(source, tmp_path / "result.dcm", identity, note())
    _assert_same_image(source, tmp_path / "result.dcm")


def test_a_folder_of_everything(
    data_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in"
    for kind in ("odd", "bad"):
        shutil.copytree(data_dir / kind, source / kind)
    with pytest.raises(PartialError) as caught:
        convert(source, tmp_path / "out", identity, note())
    assert caught.value.exit_code == 11
    out = tmp_path / "out"
    assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} == set(READABLE)
    said = capfd.readouterr().err
    for name, outcome in TABLE.items():
        assert (f"{name}: " in said) == (outcome not in (IDENTICAL, "not DICOM"))
        _assert_private(data_dir / name, said)


def _assert_same_image(source: Path, result: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of flaws in the source
        want, got = pydicom.dcmread(source, force=True), pydicom.dcmread(result)
        if "TransferSyntaxUID" not in want.file_meta:
            want.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        assert [got.get(k) for k in KEPT.split()] == [want.get(k) for k in KEPT.split()]
        want_words, got_words = decoded_words(want), decoded_words(got)
        np.testing.assert_array_equal(got.pixel_array, want.pixel_array)
    assert got_words.dtype == want_words.dtype.newbyteorder("=")
    np.testing.assert_array_equal(got_words, want_words)


def _assert_private(source: Path, said: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(source, force=True)
        values = [str(dataset.get(k) or "") for k in ("PatientName", "PatientID")]
    for value in values:
        # Not the one-character identifiers, and not names that the file's own name tells.
        if len(value) > 2 and value not in source.name:
            assert value not in said


@pytest.fixture(scope="module")
def dciodvfy() -> str:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed: apt install dicom3tools")
    return program


def _errors(program: str, path: Path) -> Counter[str]:
    done = subprocess.run(
        [program, str(path)], capture_output=True, text=True, errors="replace", check=False
    )
    lines = (done.stdout + done.stderr).splitlines()
    return Counter(" ".join(line.split()) for line in lines if "Error" in line)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("name", [*READABLE, "ct_ge_hispeed_dual", "mr_siemens_prisma"])
def test_dciodvfy_finds_no_new_error(
    data_dir: Path, tmp_path: Path, dciodvfy: str, name: str, scale: int
) -> None:
    source = data_dir / name
    source = sorted(source.iterdir())[0] if source.is_dir() else source
    result = tmp_path / "result.dcm"
    convert(source, result, identity if scale == 1 else repeat_twice, note(scale))
    assert _errors(dciodvfy, result) - _errors(dciodvfy, source) == Counter()


def test_typed_errors_only(data_dir: Path, tmp_path: Path) -> None:
    """A cut anywhere in a file is an image or a typed error, and never an empty image."""
    whole = (data_dir / "odd" / "emri_small_RLE.dcm").read_bytes()
    want = decoded_words(pydicom.dcmread(data_dir / "odd" / "emri_small_RLE.dcm"))
    for cut in range(0, len(whole), 997):
        source = tmp_path / "cut.dcm"
        source.write_bytes(whole[:cut])
        try:
            convert(source, tmp_path / "result.dcm", identity, note(), overwrite=True)
        except ScansideError:
            continue
        got = decoded_words(pydicom.dcmread(tmp_path / "result.dcm"))
        np.testing.assert_array_equal(got, want)
