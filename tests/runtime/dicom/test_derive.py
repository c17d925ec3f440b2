"""The tags of a derived image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from dicoms import make_dicom, note, save
from scanside.runtime.dicom.derive import SeriesUids, derive
from scanside.runtime.dicom.provenance import IMPLEMENTATION_CLASS_UID
from scanside.runtime.dicom.read import Image, read_image
from scanside.runtime.dicom.write import write_image
from scanside.runtime.errors import EngineError, ImageError, OutputExistsError
from scanside.runtime.frame import FrameFacts

WORDS = np.arange(24, dtype=np.uint16).reshape(4, 6)


def _image(
    tmp_path: Path, words: Any = WORDS, syntax: str = ExplicitVRLittleEndian, **e: Any
) -> Image:
    return read_image(save(make_dicom(words, **e), tmp_path / "source.dcm", syntax))


def _derived(tmp_path: Path, scale: int = 1, signed: bool = True, **elements: Any) -> Dataset:
    image = _image(tmp_path, **elements)
    pixels = image.words.repeat(scale, 1).repeat(scale, 2)
    write_image(derive(image, pixels, note(scale, signed)), tmp_path / "out.dcm", overwrite=True)
    return pydicom.dcmread(tmp_path / "out.dcm")


def test_identity_and_provenance(tmp_path: Path) -> None:
    got = _derived(
        tmp_path, SeriesNumber=3, SeriesDescription="Thorax", FrameOfReferenceUID="1.2.3"
    )
    source = read_image(tmp_path / "source.dcm")
    assert list(got.ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert got[keyword].value != source.dataset[keyword].value
        assert got[keyword].value.startswith("2.25.")
    assert got.StudyInstanceUID == source.dataset.StudyInstanceUID
    assert got.FrameOfReferenceUID == "1.2.3"
    assert (got.SeriesNumber, got.SeriesDescription) == (9003, "Thorax (Scanside)")
    assert got.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert got.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert got.file_meta.MediaStorageSOPInstanceUID == got.SOPInstanceUID
    assert "test-model 1.2.3" in got.DerivationDescription
    assert "ab" * 32 in got.DerivationDescription
    assert "UNSIGNED" not in got.DerivationDescription
    assert [c.CodeValue for c in got.DerivationCodeSequence] == ["113087"]
    (reference,) = got.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == source.dataset.SOPInstanceUID
    assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert reference.SpatialLocationsPreserved == "YES"
    (equipment,) = got.ContributingEquipmentSequence
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert equipment.DeviceUID.startswith("2.25.")
    assert got.InstanceCreatorUID == IMPLEMENTATION_CLASS_UID


def test_an_unsigned_model_is_named_so(tmp_path: Path) -> None:
    got = _derived(tmp_path, signed=False)
    assert "UNSIGNED" in got.DerivationDescription
    assert "UNSIGNED" in got.ContributingEquipmentSequence[0].ContributionDescription


def test_one_new_series_per_source_series(tmp_path: Path) -> None:
    uids = SeriesUids()
    got = []
    for series in ("1.2.3", "1.2.3", "1.2.4"):
        image = _image(tmp_path, SeriesInstanceUID=series)
        got.append(derive(image, image.words, note(), uids))
    assert got[0].SeriesInstanceUID == got[1].SeriesInstanceUID != got[2].SeriesInstanceUID
    assert len({d.SOPInstanceUID for d in got}) == 3
    image = _image(tmp_path, SeriesInstanceUID="1.2.3")
    other_run = derive(image, image.words, note(), SeriesUids())
    assert other_run.SeriesInstanceUID != got[0].SeriesInstanceUID


def test_what_was_there_is_kept(tmp_path: Path) -> None:
    before = Dataset()
    before.Manufacturer = "First"
    reference = Dataset()
    reference.ReferencedSOPInstanceUID = "1.9"
    elements: dict[str, Any] = {
        "DerivationDescription": "averaged",
        "ContributingEquipmentSequence": [before],
        "SourceImageSequence": [reference],
        "RescaleSlope": "1.5",
        "RescaleIntercept": "-1024",
    }
    dataset = make_dicom(WORDS, **elements)
    dataset.private_block(0x0029, "ACME", create=True).add_new(1, "UN", b"private!")
    dataset.add_new(0x60000010, "US", 4)
    dataset.add_new(0x60003000, "OW", b"\x01\x02\x03\x00")
    image = read_image(save(dataset, tmp_path / "source.dcm"))
    got = derive(image, image.words, note())
    assert got.DerivationDescription.startswith("averaged; Scanside")
    assert [e.Manufacturer for e in got.ContributingEquipmentSequence] == ["First", "Scanside"]
    assert got.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.9"
    assert len(got.SourceImageSequence) == 2
    assert (got.RescaleSlope, got.RescaleIntercept) == (1.5, -1024)
    assert got.private_block(0x0029, "ACME")[1].value == b"private!"
    assert got[0x60003000].value == b"\x01\x02\x03\x00"
    twice = derive(image, image.words.repeat(2, 1).repeat(2, 2), note(2))
    assert 0x60003000 not in twice
    # The source is still the source.
    assert image.dataset.DerivationDescription == "averaged"
    assert len(image.dataset.ContributingEquipmentSequence) == 1


def test_what_depended_on_the_old_pixels_goes(tmp_path: Path) -> None:
    dataset = make_dicom(WORDS)
    dataset.add_new("SmallestImagePixelValue", "US", 0)
    dataset.add_new("LargestImagePixelValue", "US", 23)
    for keyword in ("IconImageSequence", "MACParametersSequence", "DigitalSignaturesSequence"):
        setattr(dataset, keyword, [Dataset()])
    image = read_image(save(dataset, tmp_path / "source.dcm"))
    got = derive(image, image.words, note())
    for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue", "IconImageSequence"):
        assert keyword in image.dataset
        assert keyword not in got
    assert "MACParametersSequence" not in got
    assert "DigitalSignaturesSequence" not in got


@pytest.mark.parametrize(
    ("syntax", "said", "want"),
    [
        (ExplicitVRLittleEndian, None, None),
        (ExplicitVRLittleEndian, "00", "00"),
        (ExplicitVRLittleEndian, "01", "01"),
        (JPEGBaseline8Bit, None, "01"),
        (JPEGBaseline8Bit, "00", "01"),
        (JPEG2000, None, "01"),
        (JPEG2000, "00", "00"),  # that syntax may be lossless, and the file says so
        (JPEG2000, "01", "01"),
    ],
)
def test_lossy_compression_is_never_forgotten(
    syntax: str, said: str | None, want: str | None
) -> None:
    dataset = make_dicom(WORDS)
    del dataset.PixelData
    if said is not None:
        dataset.LossyImageCompression = said
    facts = FrameFacts(modality="CT", bits_stored=16, signed=False)
    image = Image(dataset, WORDS[None], (facts,), pydicom.uid.UID(syntax), 12)
    got = derive(image, image.words, note())
    assert got.get("LossyImageCompression") == want
    if want == "01" and said != "01":
        assert got.LossyImageCompressionRatio == 4
        assert got.LossyImageCompressionMethod.startswith("ISO_")


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_every_encoding_becomes_the_same_header(tmp_path: Path, syntax: str) -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [2, 0, 16])
    words = np.array([0x0102, 0x0304], ">u2" if syntax == ExplicitVRBigEndian else "<u2")
    item.add_new("LUTData", "OW", words.tobytes())
    mapping = Dataset()
    mapping.add_new("RealWorldValueFirstValueMapped", "SS", -300)
    dataset = make_dicom(
        WORDS.astype(np.int16), VOILUTSequence=[item], RealWorldValueMappingSequence=[mapping]
    )
    dataset.add_new("PixelPaddingValue", "SS", -5)
    dataset.add_new(0x00189219, "SS", -7)  # Tag Angle Second Axis
    dataset.add_new(0x00186028, "FD", 0.1)
    dataset.add_new(0x00186020, "SL", -123456)
    image = read_image(save(dataset, tmp_path / "source.dcm", syntax))
    write_image(derive(image, image.words, note()), tmp_path / "out.dcm")
    got = pydicom.dcmread(tmp_path / "out.dcm")
    assert got.VOILUTSequence[0].LUTData == np.array([0x0102, 0x0304], "<u2").tobytes()
    assert list(got.VOILUTSequence[0].LUTDescriptor) == [2, 0, 16]
    assert (got.PixelPaddingValue, got[0x00189219].value) == (-5, -7)
    assert (got[0x00186028].value, got[0x00186020].value) == (0.1, -123456)
    assert got["PixelPaddingValue"].VR == "SS"
    assert got.RealWorldValueMappingSequence[0].RealWorldValueFirstValueMapped == -300


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("charset", [b"ISO_IR 192", b"ISO_IR 999", b"ISO_IR 100"])
def test_text_of_a_wrong_character_set_stays_as_it_is(
    tmp_path: Path, syntax: str, charset: bytes
) -> None:
    path = save(
        make_dicom(WORDS, SpecificCharacterSet="ISO_IR 100", PatientName="Zebra^QQQQ"),
        tmp_path / "source.dcm",
        syntax,
    )
    raw = path.read_bytes().replace(b"ISO_IR 100", charset).replace(b"^QQQQ", b"^\xff\xfe\xe9Z")
    path.write_bytes(raw)
    image = read_image(path)
    write_image(derive(image, image.words, note()), tmp_path / "out.dcm")
    assert b"Zebra^\xff\xfe\xe9Z" in (tmp_path / "out.dcm").read_bytes()


def test_functional_groups(tmp_path: Path) -> None:
    def frame_type() -> list[Dataset]:
        item = Dataset()
        item.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        item.VolumetricProperties = "VOLUME"
        return [item]

    shared, frames = Dataset(), [Dataset(), Dataset()]
    for frame in frames:
        frame.CTImageFrameTypeSequence = frame_type()
    elements: dict[str, Any] = {
        "words": np.zeros((2, 4, 6), np.uint16),
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": frames,
    }
    got = _derived(tmp_path, **elements)
    for frame in got.PerFrameFunctionalGroupsSequence:
        assert frame.CTImageFrameTypeSequence[0].FrameType[0] == "DERIVED"
        assert frame.CTImageFrameTypeSequence[0].VolumetricProperties == "VOLUME"
        assert "DerivationImageSequence" not in frame
    (step,) = got.SharedFunctionalGroupsSequence[0].DerivationImageSequence
    assert step.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    evidence = got.SourceImageEvidenceSequence[0].ReferencedSeriesSequence[0]
    source = read_image(tmp_path / "source.dcm").dataset
    assert evidence.SeriesInstanceUID == source.SeriesInstanceUID
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID

    earlier = Dataset()
    earlier.DerivationDescription = "earlier"
    frames[0].DerivationImageSequence = [earlier]
    got = _derived(tmp_path, **elements)
    assert "DerivationImageSequence" not in got.SharedFunctionalGroupsSequence[0]
    counts = [len(f.DerivationImageSequence) for f in got.PerFrameFunctionalGroupsSequence]
    assert counts == [2, 1]


def test_image_types_of_old_files(tmp_path: Path) -> None:
    assert list(_derived(tmp_path, ImageType=None).ImageType) == ["DERIVED", "PRIMARY"]
    assert list(_derived(tmp_path, ImageType="ORIGINAL").ImageType) == ["DERIVED", "PRIMARY"]


def test_odd_number_of_bytes_is_padded(tmp_path: Path) -> None:
    got = _derived(tmp_path, words=np.arange(15, dtype=np.uint8).reshape(3, 5))
    assert len(got.PixelData) == 16
    np.testing.assert_array_equal(got.pixel_array, np.arange(15).reshape(3, 5))


def test_pixels_must_be_what_the_model_promised(tmp_path: Path) -> None:
    image = _image(tmp_path)
    for pixels in (image.words[:, :-1], image.words.astype(np.int16), image.words.repeat(2, 1)):
        with pytest.raises(EngineError):
            derive(image, pixels, note())


def test_writing_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = _image(tmp_path)
    target = tmp_path / "new" / "out.dcm"
    write_image(derive(image, image.words, note()), target)
    first = target.read_bytes()
    with pytest.raises(OutputExistsError, match="--overwrite"):
        write_image(derive(image, image.words, note()), target)
    monkeypatch.setattr("os.fsync", _no_space)
    with pytest.raises(ImageError) as caught:
        write_image(derive(image, image.words, note()), target, overwrite=True)
    assert caught.value.reason == "write failed"
    assert target.read_bytes() == first
    assert list(target.parent.iterdir()) == [target]


def _no_space(descriptor: int) -> None:
    raise OSError(28, "No space left on device")
