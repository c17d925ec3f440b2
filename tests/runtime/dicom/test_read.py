"""Reading: byte orders, bits, rescale and padding, and what is refused before memory is taken."""

from __future__ import annotations

import struct
import threading
import tracemalloc
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import RLELosslessEncoder
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from dicoms import NAME, decoded_words, make_dicom, save
from scanside.runtime.dicom import read
from scanside.runtime.dicom.read import read_image
from scanside.runtime.errors import ImageError, UnreadableImageError, UnsupportedImageError
from scanside.runtime.frame import stored_values

RNG = np.random.default_rng(7)
NATIVE = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5)])
def test_words_in_every_native_syntax(
    tmp_path: Path, syntax: str, dtype: str, shape: tuple[int, ...]
) -> None:
    info = np.iinfo(dtype)
    words = RNG.integers(info.min, info.max, shape, dtype, endpoint=True)
    image = read_image(save(make_dicom(words), tmp_path / "a.dcm", syntax))
    assert image.words.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(image.words, words.reshape(-1, *shape[-2:]))
    assert len(image.facts) == len(image.words)
    assert image.facts[0].signed == (dtype[0] == "i")


def test_signed_12_bits_whose_sign_is_not_extended(tmp_path: Path) -> None:
    values = np.array([[-2048, -1], [0, 2047]], np.int16)
    words = (values & 0x0FFF) | np.int16(0x5000)  # an old overlay lies above
    image = read_image(save(make_dicom(words, bits=12), tmp_path / "a.dcm"))
    np.testing.assert_array_equal(image.words[0], words)
    np.testing.assert_array_equal(stored_values(image.words[0], image.facts[0]), values)
    assert image.facts[0].stored_range == (-2048, 2047)


def _group(slope: float, intercept: float) -> Dataset:
    transformation = Dataset()
    transformation.RescaleSlope, transformation.RescaleIntercept = slope, intercept
    group = Dataset()
    group.PixelValueTransformationSequence = [transformation]
    return group


def test_rescale_per_frame_shared_and_top_level(tmp_path: Path) -> None:
    words = np.zeros((2, 3, 4), np.uint16)
    top = {"RescaleSlope": 5, "RescaleIntercept": -5}
    own = [_group(2, -1024), _group(0.5, 7)]
    cases: list[tuple[dict[str, Any], list[tuple[float, float]]]] = [
        ({}, [(1, 0), (1, 0)]),
        (top, [(5, -5), (5, -5)]),
        (top | {"SharedFunctionalGroupsSequence": [_group(3, 4)]}, [(3, 4), (3, 4)]),
        (top | {"PerFrameFunctionalGroupsSequence": own}, [(2, -1024), (0.5, 7)]),
        (
            {
                "SharedFunctionalGroupsSequence": [_group(3, 4)],
                "PerFrameFunctionalGroupsSequence": [_group(2, 1), Dataset()],
            },
            [(2, 1), (3, 4)],
        ),
    ]
    for elements, want in cases:
        image = read_image(save(make_dicom(words, **elements), tmp_path / "a.dcm"))
        assert [(f.slope, f.intercept) for f in image.facts] == want


@pytest.mark.parametrize(
    ("dtype", "bits", "value", "limit", "vr", "want"),
    [
        ("int16", 16, -2000, None, "SS", (-2000, -2000)),
        ("int16", 16, 63536, None, "US", (-2000, -2000)),  # a negative value in the wrong VR
        ("int16", 12, 63536, None, "US", (-2000, -2000)),
        ("uint16", 16, 63536, None, "US", (63536, 63536)),
        ("uint16", 16, -2000, None, "SS", (63536, 63536)),
        ("uint16", 12, 4000, 4095, "US", (4000, 4095)),
        ("uint16", 12, 4095, 4000, "US", (4000, 4095)),  # MONOCHROME1 counts downwards
        ("int16", 16, -2000, -1500, "SS", (-2000, -1500)),
    ],
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_padding(
    tmp_path: Path,
    dtype: str,
    bits: int,
    value: int,
    limit: int | None,
    vr: str,
    want: tuple[int, int],
    syntax: str,
) -> None:
    dataset = make_dicom(np.zeros((2, 2), dtype), bits)
    dataset.add_new("PixelPaddingValue", vr, value)
    if limit is not None:
        dataset.add_new("PixelPaddingRangeLimit", vr, limit)
    image = read_image(save(dataset, tmp_path / "a.dcm", syntax))
    assert image.facts[0].padding == want


WORDS = np.arange(12, dtype=np.uint16).reshape(3, 4)
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("colour", {"PhotometricInterpretation": "PALETTE COLOR"}),
    ("colour", {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}),
    ("mosaic", {"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}),
    ("modality LUT", {"ModalityLUTSequence": [Dataset()]}),
    ("no pixels", {"PixelData": None}),
    ("float pixels", {"PixelData": None, "FloatPixelData": bytes(48)}),
    ("bits", {"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}),
    ("bits", {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}),
    ("bits", {"BitsStored": 17, "HighBit": 16}),
    ("bits", {"BitsStored": 12, "HighBit": 15}),
    ("malformed header", {"PixelRepresentation": 2}),
    ("malformed header", {"Rows": 0}),
    ("malformed header", {"SOPClassUID": None}),
    ("malformed header", {"RescaleSlope": 0}),
    ("malformed header", {"PhotometricInterpretation": None}),
    (
        "malformed header",
        {"NumberOfFrames": 1, "PerFrameFunctionalGroupsSequence": [Dataset()] * 2},
    ),
    ("number of frames", {"NumberOfFrames": 0}),
    ("number of frames", {"NumberOfFrames": -3}),
    ("number of frames", {"PixelData": bytes(2 * 24)}),
    ("truncated", {"PixelData": bytes(22)}),
    ("truncated", {"NumberOfFrames": 2}),
    ("too large", {"Rows": 65535, "Columns": 65535}),
    ("too large", {"NumberOfFrames": 2**31 - 1}),
]


@pytest.mark.parametrize(("reason", "elements"), REFUSED)
def test_refused(tmp_path: Path, reason: str, elements: dict[str, Any]) -> None:
    path = tmp_path / "a.dcm"
    dataset = make_dicom(WORDS, **elements)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=False)
    path.write_bytes(bytes(128) + b"DICM" + path.read_bytes())  # no SOP class: no preamble
    tracemalloc.start()
    try:
        with pytest.raises(ImageError) as caught:
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert caught.value.reason == reason
    assert caught.value.next_step
    assert NAME not in str(caught.value)


def test_a_number_of_frames_that_is_no_number(tmp_path: Path) -> None:
    path = save(make_dicom(WORDS, NumberOfFrames=12), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes().replace(b"IS\x02\x0012", b"IS\x02\x001A"))
    with pytest.raises(UnsupportedImageError) as caught:
        read_image(path)
    assert caught.value.reason == "number of frames"


def _compressed(path: Path, frames: list[bytes], rows: int) -> Path:
    dataset = make_dicom(np.zeros((rows, 4), np.uint16))
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_compressed_frames_are_counted(tmp_path: Path) -> None:
    source = make_dicom(WORDS)
    source.file_meta = pydicom.dataset.FileMetaDataset()
    source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    frame = RLELosslessEncoder.encode(source, index=0)
    image = read_image(_compressed(tmp_path / "a.dcm", [frame], 3))
    np.testing.assert_array_equal(image.words[0], WORDS)
    with pytest.raises(UnsupportedImageError, match="more pixels"):
        read_image(_compressed(tmp_path / "b.dcm", [frame] * 2, 3))
    with pytest.raises(UnreadableImageError, match="decoder failed"):
        read_image(_compressed(tmp_path / "c.dcm", [frame], 9))


def test_a_jpeg_stream_that_stops_early(data_dir: Path, tmp_path: Path) -> None:
    """libjpeg fills the rest with grey and merely warns."""
    dataset = pydicom.dcmread(data_dir / "odd" / "JPEG-LL.dcm")
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(UnreadableImageError) as caught:
        read_image(tmp_path / "a.dcm")
    assert caught.value.reason == "truncated"


def test_a_deflated_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MAX_FILE_BYTES", 2**22)
    path = save(make_dicom(WORDS), tmp_path / "a.dcm", DeflatedExplicitVRLittleEndian)
    assert read_image(path).words.shape == (1, 3, 4)
    bomb = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    head = struct.pack("<HH2sHI", 0x0011, 0x0010, b"OB", 0, 2**26)
    raw = path.read_bytes()
    raw = raw[: 132 + 12 + struct.unpack("<I", raw[140:144])[0]]
    path.write_bytes(raw + bomb.compress(head + bytes(2**26)) + bomb.flush())
    tracemalloc.start()
    try:
        with pytest.raises(UnsupportedImageError, match="too large"):
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("head", [b"", b"hello", bytes(200), b"\x08\x00" + bytes(300)])
def test_not_dicom(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(head)
    with pytest.raises(UnreadableImageError) as caught:
        read_image(path)
    assert caught.value.reason == "not DICOM"


def test_threads_read_alike_and_warnings_stay_inside(data_dir: Path) -> None:
    """Warnings are errors in the tests, so one that leaks out of a thread would show."""
    path = data_dir / "odd" / "MR_small_padded.dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = decoded_words(pydicom.dcmread(path))
    found: list[Any] = []

    def work() -> None:
        for _ in range(5):
            try:
                found.append(read_image(path).words)
            except BaseException as error:  # noqa: BLE001 - shown by the assertion below
                found.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    filters = list(warnings.filters)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    for words in found:
        np.testing.assert_array_equal(words, want)
    assert warnings.filters == filters


def test_a_decoder_that_panics_is_a_decoder_that_failed(tmp_path: Path) -> None:
    """pylibjpeg-rle panics on a run that is longer than its frame: no Exception, to Python."""
    raw = bytearray(Path(str(get_testdata_file("MR_small_RLE.dcm"))).read_bytes())
    raw[1866] = 133
    (tmp_path / "damaged.dcm").write_bytes(raw)
    with pytest.raises(UnreadableImageError, match="decoder failed"):
        read_image(tmp_path / "damaged.dcm")
