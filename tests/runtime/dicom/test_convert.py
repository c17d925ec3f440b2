"""Files and folders: names, what is passed over, what one bad file among many does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from dicoms import NAME, decoded_words, identity, make_dicom, note, save
from scanside.runtime.dicom.convert import Summary, convert
from scanside.runtime.errors import (
    EngineError,
    NoImagesError,
    OutputExistsError,
    PartialError,
    RefusedFrameError,
    ServerUnreachableError,
    UnreadableImageError,
    UnsupportedImageError,
)
from scanside.runtime.frame import FrameFacts, Pixels

WORDS = np.arange(24, dtype=np.uint16).reshape(4, 6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images of one series, one of them in a subfolder, and two files that are no images."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    save(make_dicom(WORDS, SeriesInstanceUID="1.2.3"), tmp_path / "in" / "a.dcm")
    save(
        make_dicom(np.stack([WORDS, WORDS]), SeriesInstanceUID="1.2.3"),
        tmp_path / "in" / "deep" / "b",
    )
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    (tmp_path / "in" / "deep" / "empty").touch()
    return tmp_path / "in"


def _names(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def _plus_one(words: Pixels, facts: Any) -> Pixels:
    return (words + 1).astype(words.dtype)


def test_a_folder_keeps_its_names(folder: Path, tmp_path: Path) -> None:
    done = convert(folder, tmp_path / "out", _plus_one, note())
    assert done == Summary(images=2, frames=3, passed=2)
    assert _names(tmp_path / "out") == {"a.dcm", "deep/b"}
    first, second = (pydicom.dcmread(tmp_path / "out" / n) for n in ("a.dcm", "deep/b"))
    np.testing.assert_array_equal(decoded_words(first)[0], WORDS + 1)
    np.testing.assert_array_equal(decoded_words(second), np.stack([WORDS, WORDS]) + 1)
    assert first.SeriesInstanceUID == second.SeriesInstanceUID != "1.2.3"


def test_a_file_to_a_file_or_into_a_folder(folder: Path, tmp_path: Path) -> None:
    convert(folder / "a.dcm", tmp_path / "new" / "better.dcm", identity, note())
    convert(folder / "a.dcm", tmp_path / "new", identity, note())
    assert _names(tmp_path / "new") == {"better.dcm", "a.dcm"}


def test_one_bad_file_among_many(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (folder / "a.dcm").read_bytes()
    (folder / "0\x1b[31mfirst").write_bytes(whole[:-10])
    with pytest.raises(PartialError, match="1 of 3"):
        convert(folder, tmp_path / "out", identity, note())
    assert _names(tmp_path / "out") == {"a.dcm", "deep/b"}
    said = capsys.readouterr().err
    assert said.startswith("0?[31mfirst: truncated")
    assert said.count("\n") == 1
    assert NAME not in said


def test_all_bad_raises_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    save(make_dicom(WORDS, PhotometricInterpretation="PALETTE COLOR"), tmp_path / "in" / "a")
    with pytest.raises(UnsupportedImageError, match="colour"):
        convert(tmp_path / "in", tmp_path / "out", identity, note())
    assert not (tmp_path / "out").exists()


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    with pytest.raises(NoImagesError, match="no DICOM"):
        convert(tmp_path / "in", tmp_path / "out", identity, note())
    with pytest.raises(NoImagesError, match="no such"):
        convert(tmp_path / "nowhere", tmp_path / "out", identity, note())
    with pytest.raises(UnreadableImageError, match="not a DICOM"):
        convert(tmp_path / "in" / "notes.txt", tmp_path / "out", identity, note())


def test_a_dicomdir_is_passed_over(folder: Path, tmp_path: Path) -> None:
    directory = Dataset()
    directory.FileSetID = "MEDIA"
    directory.DirectoryRecordSequence = [Dataset()]
    directory.file_meta = FileMetaDataset()
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2"
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    done = convert(folder, tmp_path / "out", identity, note())
    assert (done.images, done.passed) == (2, 3)
    assert _names(tmp_path / "out") == {"a.dcm", "deep/b"}
    with pytest.raises(UnsupportedImageError, match="directory"):
        convert(folder / "DICOMDIR", tmp_path / "new", identity, note())


def test_results_are_not_overwritten_and_nothing_is_begun(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "deep" / "b").write_text("precious")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        convert(folder, tmp_path / "out", identity, note())
    assert _names(tmp_path / "out") == {"deep/b"}
    assert (tmp_path / "out" / "deep" / "b").read_text() == "precious"
    assert convert(folder, tmp_path / "out", identity, note(), overwrite=True).images == 2


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_source_is_never_replaced(folder: Path, tmp_path: Path, overwrite: bool) -> None:
    before = (folder / "a.dcm").read_bytes()
    (tmp_path / "link").symlink_to(folder)
    pairs = [(folder, folder), (folder, tmp_path / "link"), (folder / "a.dcm", folder / "a.dcm")]
    for source, destination in pairs:
        with pytest.raises(OutputExistsError):
            convert(source, destination, identity, note(), overwrite=overwrite)
    assert (folder / "a.dcm").read_bytes() == before


def test_a_destination_inside_the_source_is_not_read_again(folder: Path) -> None:
    for _ in range(2):
        convert(folder, folder / "out", identity, note(), overwrite=True)
    assert _names(folder / "out") == {"a.dcm", "deep/b"}


@pytest.mark.parametrize(
    "error", [RefusedFrameError("wrong modality", "no"), EngineError("non-finite")]
)
def test_what_the_engine_refuses_fails_that_file_alone(
    folder: Path, tmp_path: Path, error: Exception
) -> None:
    def run(words: Pixels, facts: Any) -> Pixels:
        if len(facts) == 2:
            raise error
        return words

    with pytest.raises(PartialError):
        convert(folder, tmp_path / "out", run, note())
    assert _names(tmp_path / "out") == {"a.dcm"}
    with pytest.raises(type(error)):
        convert(folder / "deep" / "b", tmp_path / "out2", run, note())


def test_a_lost_server_ends_it_at_once(folder: Path, tmp_path: Path) -> None:
    calls: list[int] = []

    def run(words: Pixels, facts: Any) -> Pixels:
        calls.append(1)
        raise ServerUnreachableError("gone")

    with pytest.raises(ServerUnreachableError):
        convert(folder, tmp_path / "out", run, note())
    assert calls == [1]


def test_facts_reach_the_engine(tmp_path: Path) -> None:
    seen: list[FrameFacts] = []

    def run(words: Pixels, facts: Any) -> Pixels:
        seen.extend(facts)
        return words

    source = save(
        make_dicom(
            WORDS,
            bits=12,
            PhotometricInterpretation="MONOCHROME1",
            RescaleSlope=2,
            RescaleIntercept=-7,
        ),
        tmp_path / "a",
    )
    convert(source, tmp_path / "b", run, note())
    assert seen == [
        FrameFacts(
            modality="CT",
            bits_stored=12,
            signed=False,
            photometric="MONOCHROME1",
            slope=2.0,
            intercept=-7.0,
        )
    ]


def test_a_file_that_may_not_be_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **options: Any) -> None:
        raise PermissionError(13, "Permission denied", f"/somewhere/{NAME}")

    monkeypatch.setattr(pydicom, "dcmread", refuse)
    with pytest.raises(UnreadableImageError, match="cannot be read: Permission denied") as caught:
        convert(folder, tmp_path / "out", identity, note())
    assert NAME not in str(caught.value)
