"""Pixel Data of any transfer syntax -> pixel words, as they are stored."""

from __future__ import annotations

import itertools

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGExtended12Bit,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
)

from scanside.runtime.errors import (
    MissingExtraError,
    UnreadableImageError,
    UnsupportedImageError,
)
from scanside.runtime.frame import Pixels

_ENDS_WITH_EOI = {*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes}
_EOI = b"\xff\xd9"
_LONGEST_PADDING = 16


def decode_words(dataset: Dataset, syntax: UID, frames: int) -> Pixels:
    """(N, R, C) pixel words in native byte order, bits above Bits Stored as the decoder gives them.

    The caller has checked and capped rows, columns, frames and bits. Raises UnreadableImageError
    (reason "truncated", "decoder failed"), UnsupportedImageError ("transfer syntax", "number of
    frames") or MissingExtraError. Decoder warnings are for the caller to swallow.
    """
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise _no_decoder("no decoder reads this transfer syntax") from None
    if syntax == JPEGExtended12Bit and dataset.BitsStored > 8:
        raise _no_decoder("lossy 12-bit JPEG has no decoder under a permissive licence")
    if not decoder.is_available:
        raise MissingExtraError("dicom", "python-gdcm (or another decoder of compressed DICOM)")

    kind = "i" if dataset.PixelRepresentation == 1 else "u"
    words = np.empty((frames, dataset.Rows, dataset.Columns), f"{kind}{dataset.BitsAllocated // 8}")
    if syntax.is_encapsulated:
        _check_fragments(dataset, syntax, frames)
    else:
        _check_length(dataset, frames, words.nbytes)
    try:
        # Only some decoders know the option, but all take it: bits above Bits Stored stay.
        decoded = decoder.iter_array(dataset, raw=True, correct_unused_bits=False)
        count = 0
        for array, _ in itertools.islice(decoded, frames):
            words[count] = array.reshape(words.shape[1:])
            count += 1
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - decoders raise anything on rubbish, Rust's panics too
        raise _decoder_failed() from None
    if count != frames:
        raise _decoder_failed()
    return words


def _check_length(dataset: Dataset, frames: int, expected: int) -> None:
    actual = len(dataset.PixelData)
    if actual < expected:
        raise _truncated()
    if actual >= expected + expected // frames:
        raise _too_many_frames()


def _check_fragments(dataset: Dataset, syntax: UID, frames: int) -> None:
    """As many frames as the header says, each to its end: decoders fill up a cut one with grey."""
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    count = 0
    try:
        encoded = generate_frames(
            dataset.PixelData, number_of_frames=frames, extended_offsets=offsets
        )
        for frame in itertools.islice(encoded, frames + 1):
            count += 1
            if syntax in _ENDS_WITH_EOI and _EOI not in frame[-_LONGEST_PADDING:]:
                raise _truncated()
    except UnreadableImageError:
        raise
    except Exception:  # noqa: BLE001 - rubbish in the fragments
        raise _truncated() from None
    if count < frames:
        raise _truncated()
    if count > frames:
        raise _too_many_frames()


def _no_decoder(message: str) -> UnsupportedImageError:
    return UnsupportedImageError(
        f"transfer syntax: {message}",
        next_step="decompress the file first, for example with dcmdjpeg",
        reason="transfer syntax",
    )


def _truncated() -> UnreadableImageError:
    return UnreadableImageError(
        "truncated: there are fewer pixels than the header says",
        next_step="copy or export the image again",
        reason="truncated",
    )


def _too_many_frames() -> UnsupportedImageError:
    return UnsupportedImageError(
        "number of frames: there are more pixels than the header says",
        next_step="repair or export the image again",
        reason="number of frames",
    )


def _decoder_failed() -> UnreadableImageError:
    return UnreadableImageError(
        "decoder failed: the compressed pixels are damaged",
        next_step="export the image again, or decompress it first",
        reason="decoder failed",
    )
