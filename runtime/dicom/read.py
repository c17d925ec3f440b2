"""A DICOM file -> its pixel words and what the header says of them, or a typed refusal."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from scanside.runtime.dicom.decode import decode_words
from scanside.runtime.dicom.frame_facts import frame_facts, integer, malformed, texts
from scanside.runtime.dicom.quiet import quiet
from scanside.runtime.errors import UnreadableImageError, UnsupportedImageError
from scanside.runtime.frame import FrameFacts, Pixels

NOT_DICOM = "not DICOM"
DIRECTORY = "DICOMDIR"

UNDEFINED_LENGTH = 0xFFFFFFFF
MAX_PIXEL_BYTES = 2**31
MAX_FILE_BYTES = MAX_PIXEL_BYTES + 2**28
_NATIVE = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}


@dataclass(frozen=True)
class Image:
    """One DICOM image, decoded.

    dataset: the header as it was read, without Pixel Data.
    words: (N, R, C) pixel words, uint8/int8/uint16/int16 in native byte order; bits above Bits
        Stored are as stored.
    facts: one per frame.
    transfer_syntax: of the file. encoded_bytes: length of its Pixel Data element.
    """

    dataset: Dataset
    words: Pixels
    facts: tuple[FrameFacts, ...]
    transfer_syntax: UID
    encoded_bytes: int


def read_image(path: Path) -> Image:
    """Read and decode one file.

    Raises UnreadableImageError (reason "not DICOM", "truncated", "damaged", "decoder failed",
    "not readable", "transfer syntax unknown"), UnsupportedImageError (reason "no pixels",
    "colour", "mosaic", "modality LUT", "float pixels", "bits", "number of frames", "too large",
    "malformed header", "transfer syntax", "DICOMDIR") or MissingExtraError when a decoder is not
    installed. No message quotes the file's content.
    """
    try:
        with quiet():
            return _read(path)
    except OSError as error:
        raise UnreadableImageError(
            f"the file cannot be read: {error.strerror or 'input/output error'}",
            next_step="check the path and its permissions",
            reason="not readable",
        ) from None


def _read(path: Path) -> Image:
    dataset = _parse(path)
    if not len(dataset) or _cut_short(dataset):
        raise _truncated()
    kind = dataset.file_meta.get("MediaStorageSOPClassUID")
    if kind == MediaStorageDirectoryStorage or "DirectoryRecordSequence" in dataset:
        raise UnsupportedImageError(
            "this is a directory of images, not an image",
            next_step="name the folder or the images instead",
            reason=DIRECTORY,
        )
    frames = _check_header(dataset)
    syntax = dataset.file_meta.get("TransferSyntaxUID") or _assumed_syntax(dataset, frames)
    facts = frame_facts(dataset, frames)
    words = decode_words(dataset, UID(syntax), frames)
    encoded_bytes = len(dataset.PixelData)
    del dataset.PixelData
    return Image(dataset, words, facts, UID(syntax), encoded_bytes)


def _parse(path: Path) -> Dataset:
    with path.open("rb") as stream:
        head = stream.read(132)
        size = stream.seek(0, 2)
        # Old files lack the preamble and begin with group 2 or 8.
        bare = head[128:] != b"DICM"
        if bare and head[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
            raise _not_dicom()
        if size > MAX_FILE_BYTES:
            raise _too_large()
        if not bare:
            _check_inflated_size(stream)
    dataset = pydicom.dcmread(path, force=True)
    if bare and not _known_class(dataset):
        raise _not_dicom()
    return dataset


def _check_inflated_size(stream: BinaryIO) -> None:
    """pydicom inflates a deflated file without a limit, so the limit is tried out before."""
    stream.seek(132)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    inflator = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    while (chunk := inflator.unconsumed_tail or stream.read(2**16)) and not inflator.eof:
        total += len(inflator.decompress(chunk, 2**20))
        if total > MAX_FILE_BYTES:
            raise _too_large()


def _cut_short(dataset: Dataset) -> bool:
    """Whether the file ended inside an element: pydicom then keeps the part without a word."""
    for tag in dataset.keys():  # noqa: SIM118 - iterating the dataset itself would decode it
        element = cast("DataElement | RawDataElement", dataset.get_item(tag))
        if not isinstance(element, RawDataElement) or element.length == UNDEFINED_LENGTH:
            continue
        if len(element.value or b"") < element.length:
            return True
    return False


def _known_class(dataset: Dataset) -> bool:
    return UID(str(dataset.get("SOPClassUID") or "")).type == "SOP Class"


def _check_header(dataset: Dataset) -> int:
    """The number of frames, if the header describes pixels that are served."""
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise _unsupported("float pixels", "pixels are floating-point numbers")
    if "PixelData" not in dataset:
        raise _unsupported("no pixels", "the file holds no pixels")
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip()
    samples = integer(dataset, "SamplesPerPixel")
    if not photometric or samples is None:
        raise malformed("PhotometricInterpretation or SamplesPerPixel")
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise _unsupported("colour", "only images in shades of grey are enhanced")
    if "MOSAIC" in texts(dataset, "ImageType"):
        raise _unsupported("mosaic", "one frame holds a mosaic of many slices")
    if dataset.get("ModalityLUTSequence"):
        raise _unsupported("modality LUT", "pixel values go through a Modality LUT")
    allocated, stored = integer(dataset, "BitsAllocated"), integer(dataset, "BitsStored")
    if allocated not in (8, 16) or stored is None or not 1 <= stored <= allocated:
        raise _unsupported("bits", "only 8 or 16 bits allocated are served")
    if integer(dataset, "HighBit") != stored - 1:
        raise _unsupported("bits", "the pixel value does not lie in the lowest bits of its word")
    if integer(dataset, "PixelRepresentation") not in (0, 1):
        raise malformed("PixelRepresentation")
    rows, columns = integer(dataset, "Rows"), integer(dataset, "Columns")
    if not rows or not columns or rows < 0 or columns < 0:
        raise malformed("Rows or Columns")
    if not dataset.get("SOPClassUID"):
        raise malformed("SOPClassUID")
    frames = _number_of_frames(dataset)
    if rows * columns * frames * (allocated // 8) > MAX_PIXEL_BYTES:
        raise _too_large()
    return frames


def _number_of_frames(dataset: Dataset) -> int:
    try:
        frames = integer(dataset, "NumberOfFrames")
    except UnsupportedImageError:
        frames = 0
    frames = 1 if frames is None else frames
    if frames < 1:
        raise _unsupported("number of frames", "the number of frames is no positive number")
    return frames


def _assumed_syntax(dataset: Dataset, frames: int) -> UID:
    """The transfer syntax of a file that does not tell, where no other can be meant.

    That is: its elements parsed, its class is known and its native pixels have exactly the size
    that the header asks for.
    """
    element = dataset["PixelData"]
    size = dataset.Rows * dataset.Columns * frames * (dataset.BitsAllocated // 8)
    exact = not element.is_undefined_length and len(element.value) == size + size % 2
    syntax = _NATIVE.get(dataset.original_encoding)  # type: ignore[arg-type]
    if syntax is None or not exact or not _known_class(dataset):
        raise UnreadableImageError(
            "the file does not tell how its pixels are encoded",
            next_step="export the image again, with its file meta information",
            reason="transfer syntax unknown",
        )
    return syntax


def _unsupported(reason: str, message: str) -> UnsupportedImageError:
    return UnsupportedImageError(
        f"{reason}: {message}",
        next_step="leave this file out; its original stays as it is",
        reason=reason,
    )


def _too_large() -> UnsupportedImageError:
    return _unsupported("too large", f"more than {MAX_PIXEL_BYTES >> 20} MiB")


def _truncated() -> UnreadableImageError:
    return UnreadableImageError(
        "truncated: the file ends too early", next_step="copy it again", reason="truncated"
    )


def _not_dicom() -> UnreadableImageError:
    return UnreadableImageError(
        "this is not a DICOM file", next_step="name DICOM files or folders", reason=NOT_DICOM
    )
