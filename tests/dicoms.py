"""Makes small DICOM files for tests; every value is invented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid

from scanside.runtime.dicom.derive import ModelNote
from scanside.runtime.frame import FrameFacts

Words = npt.NDArray[Any]

NAME = "Secret^Patient^Zebra"


def note(scale: int = 1, signed: bool = True) -> ModelNote:
    return ModelNote(
        name="test-model",
        version="1.2.3",
        identity="ab" * 32,
        engine="test 0",
        scale=scale,
        signed=signed,
    )


def make_dicom(words: Words, bits: int | None = None, **elements: Any) -> Dataset:
    """A CT image of (R, C) or (N, R, C) words; `elements` are set last, None deletes."""
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.PatientName = NAME
    dataset.PatientID = "ID-Zebra"
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = words.shape[-2:]
    if words.ndim == 3:
        dataset.NumberOfFrames = words.shape[0]
    dataset.BitsAllocated = 8 * words.dtype.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(words.dtype.kind == "i")
    raw = words.astype(words.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def save(dataset: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a made dataset in a native transfer syntax."""
    if syntax == ExplicitVRBigEndian and dataset.BitsAllocated == 16:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW" if dataset.BitsAllocated == 16 else "OB"
    dataset.save_as(path, enforce_file_format=True)
    return path


def decoded_words(dataset: Dataset) -> Words:
    """(N, R, C) words as pydicom decodes them, bits above Bits Stored untouched."""
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    words, _ = decoder.as_array(dataset, raw=True, correct_unused_bits=False)
    return words.reshape(-1, dataset.Rows, dataset.Columns)


def identity(words: Words, facts: tuple[FrameFacts, ...]) -> Words:
    assert len(words) == len(facts)
    return words.copy()


def repeat_twice(words: Words, facts: tuple[FrameFacts, ...]) -> Words:
    return words.repeat(2, axis=1).repeat(2, axis=2)
