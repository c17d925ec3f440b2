"""`scanside enhance` from the command line, with test bundles that leave pixels as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner

from bundles import make_golden, make_manifest, make_members, write_test_bundle
from dicoms import NAME, decoded_words, make_dicom, save
from scanside.compile.pack import write_bundle
from scanside.runtime.bundle import GOLDEN
from scanside.runtime.cli import main
from scanside.runtime.manifest import StoredRange

WORDS = np.arange(64 * 48, dtype=np.int16).reshape(64, 48) - 1024


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice of an engine is kept in the user's cache: not in the developer's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_test_bundle(tmp_path / "test.scanside")


def _enhance(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["enhance", *map(str, arguments)])
    return int(caught.value.code or 0)


def test_a_folder(bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        save(make_dicom(WORDS), tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    assert _enhance(bundle, tmp_path / "in", tmp_path / "out", "--threads", 1) == 0
    said = capfd.readouterr()
    assert said.out == "2 images, 2 frames enhanced, 1 other files passed\n"
    assert "not signed" in said.err
    got = pydicom.dcmread(tmp_path / "out" / "a")
    np.testing.assert_array_equal(decoded_words(got)[0], WORDS)
    assert "UNSIGNED" in got.DerivationDescription
    assert NAME not in said.out + said.err


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_named_engine_changes_pixels(tmp_path: Path, engine: str) -> None:
    bundle = write_test_bundle(tmp_path / "test.scanside", residual=0.1)
    words = np.arange(64 * 48, dtype=np.int16).reshape(64, 48) % 50
    save(make_dicom(words), tmp_path / "a.dcm")
    assert _enhance(bundle, tmp_path / "a.dcm", tmp_path / "b.dcm", "--engine", engine) == 0
    got = pydicom.dcmread(tmp_path / "b.dcm")
    np.testing.assert_array_equal(got.pixel_array, words + 80)  # a tenth of 400 HU and margins
    assert engine in got.DerivationDescription


@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
def test_an_engine_that_fails_the_golden_frames_enhances_nothing(
    tmp_path: Path, engine: str
) -> None:
    manifest = make_manifest()
    members = make_members(manifest) | {GOLDEN: make_golden(manifest, 0.1)}
    write_bundle(tmp_path / "test.scanside", manifest, members)
    save(make_dicom(WORDS), tmp_path / "a.dcm")
    arguments = (tmp_path / "test.scanside", tmp_path / "a.dcm", tmp_path / "b.dcm")
    assert _enhance(*arguments, "--engine", engine) == 6
    assert not (tmp_path / "b.dcm").exists()


def test_magnification(tmp_path: Path) -> None:
    bundle = write_test_bundle(tmp_path / "test.scanside", scale=2)
    save(make_dicom(np.full((40, 50), 7, np.uint16), PixelSpacing=[1, 1]), tmp_path / "a.dcm")
    assert _enhance(bundle, tmp_path / "a.dcm", tmp_path / "b.dcm") == 0
    got = pydicom.dcmread(tmp_path / "b.dcm")
    assert got.pixel_array.shape == (80, 100)
    assert np.all(got.pixel_array == 7)
    assert list(got.PixelSpacing) == [0.5, 0.5]


def test_errors_end_with_their_code_and_leave_nothing(
    bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good, mr, cut = (tmp_path / n for n in ("good.dcm", "mr.dcm", "cut.dcm"))
    save(make_dicom(WORDS), good)
    save(make_dicom(WORDS, Modality="MR"), mr)
    cut.write_bytes(good.read_bytes()[:-50])
    out = tmp_path / "out.dcm"
    assert _enhance(bundle, mr, out) == 8
    assert "the model is for CT" in capfd.readouterr().err
    assert _enhance(bundle, cut, out) == 4
    assert "truncated" in capfd.readouterr().err
    assert _enhance(bundle, tmp_path / "nowhere", out) == 4
    assert _enhance(tmp_path / "nowhere", good, out) == 5
    assert _enhance(good, good, out) == 5
    assert not out.exists()
    out.write_text("precious")
    assert _enhance(bundle, good, out) == 4
    assert out.read_text() == "precious"
    assert _enhance(bundle, good, out, "--overwrite") == 0


def test_one_bad_of_many_ends_with_partial(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    save(make_dicom(WORDS), tmp_path / "in" / "a")
    save(make_dicom(WORDS, Modality="MR"), tmp_path / "in" / "b")
    assert _enhance(bundle, tmp_path / "in", tmp_path / "out") == 11
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a"]


def test_help_shows_an_example() -> None:
    from scanside.runtime.cli.enhance import enhance

    text = CliRunner().invoke(enhance, ["--help"]).output
    assert "Example:" in text
    assert "scanside enhance ct.scanside scans/ enhanced/" in text
    assert "brain.nii.gz" in text


def test_real_images_of_any_modality_come_back_bit_for_bit(data_dir: Path, tmp_path: Path) -> None:
    bundle = write_test_bundle(
        tmp_path / "any.scanside",
        modality=("CT", "MR", "CR", "MG", "NM", "US", "OT"),
        intensity=StoredRange(),
    )
    assert _enhance(bundle, data_dir / "odd", tmp_path / "out", "--threads", 2) == 11
    results = sorted((tmp_path / "out").iterdir())
    assert len(results) == 13
    for result in results:
        got = pydicom.dcmread(result)
        want = pydicom.dcmread(data_dir / "odd" / result.name)
        if result.name == "MR_small_padded.dcm":
            want.PixelData = want.PixelData[:8192]
        np.testing.assert_array_equal(decoded_words(got), decoded_words(want))


def _nifti(path: Path, dtype: type = np.int16) -> Path:
    nibabel = pytest.importorskip("nibabel")
    path.parent.mkdir(exist_ok=True)
    voxels = np.random.default_rng(0).integers(-900, 900, (40, 36, 3)).astype(dtype)
    nibabel.Nifti1Image(voxels, np.diag([0.8, 0.7, 3, 1])).to_filename(path)
    return path


def test_a_nifti_volume(bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = _nifti(tmp_path / "a.nii.gz")
    assert _enhance(bundle, source, tmp_path / "b.nii.gz") == 0
    assert capfd.readouterr().out == "1 volumes, 3 frames enhanced\n"
    import nibabel

    got, want = nibabel.load(tmp_path / "b.nii.gz"), nibabel.load(source)
    np.testing.assert_array_equal(np.asarray(got.dataobj), np.asarray(want.dataobj))
    assert b"UNSIGNED" in bytes(got.header["descrip"])


def test_a_folder_of_both_kinds_keeps_its_names(
    bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _nifti(tmp_path / "in" / "deep.nii")
    save(make_dicom(WORDS), tmp_path / "in" / "a")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    assert _enhance(bundle, tmp_path / "in", tmp_path / "out") == 0
    assert "1 images, 1 volumes, 4 frames enhanced, 1 other files passed" in capfd.readouterr().out
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a", "deep.nii"}
    (tmp_path / "in" / "cut.nii.gz").write_bytes(b"\x1f\x8b")
    assert _enhance(bundle, tmp_path / "in", tmp_path / "new") == 11
    assert "cut.nii.gz: truncated" in capfd.readouterr().err


def test_names_that_promise_another_format_are_refused(
    bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nifti = _nifti(tmp_path / "a.nii")
    dicom = save(make_dicom(WORDS), tmp_path / "a.dcm")
    for source, target in ((nifti, "b.dcm"), (nifti, "b"), (dicom, "b.nii"), (dicom, "b.nii.gz")):
        assert _enhance(bundle, source, tmp_path / target) == 4
        assert "next: give the result" in capfd.readouterr().err
        assert not (tmp_path / target).exists()
    for pair in ("b.hdr", "b.img"):
        (tmp_path / pair).write_bytes(b"\x5c\x01\0\0" + bytes(344))
    for pair in ("b.hdr", "b.img"):
        assert _enhance(bundle, tmp_path / pair, tmp_path / "c.img") == 4
        assert "one .nii file" in capfd.readouterr().err
    assert _enhance(bundle, nifti, nifti, "--overwrite") == 4


def test_a_model_for_several_modalities_asks_which(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = write_test_bundle(tmp_path / "two.scanside", modality=("CT", "MR"))
    arguments = (bundle, _nifti(tmp_path / "a.nii"), tmp_path / "b.nii")
    assert _enhance(*arguments) == 4
    assert "--modality" in capfd.readouterr().err
    assert _enhance(*arguments, "--modality", "US") == 8
    assert "the model is for CT/MR" in capfd.readouterr().err
    assert not (tmp_path / "b.nii").exists()
    assert _enhance(*arguments, "--modality", "MR") == 0
