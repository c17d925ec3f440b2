"""A dataset -> a DICOM file that is either whole or not there."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from scanside.runtime.dicom.provenance import IMPLEMENTATION_CLASS_UID
from scanside.runtime.dicom.quiet import quiet
from scanside.runtime.errors import ImageError, OutputExistsError
from scanside.runtime.files import replace_file


def write_image(dataset: Dataset, destination: Path, *, overwrite: bool = False) -> None:
    """Write a DICOM file, Explicit VR Little Endian, by atomic rename: a cut leaves no half file.

    Makes the destination's folders. Raises OutputExistsError if the file is there and `overwrite`
    is False, ImageError (reason "write failed") if it cannot be written.
    """
    if not overwrite:
        refuse_existing(destination)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(destination) as stream, quiet():
            dataset.file_meta = _file_meta(dataset)
            pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    except OSError as error:
        raise ImageError(
            f"the result cannot be written: {error.strerror or 'input/output error'}",
            next_step="check the space and the permissions of the destination",
            reason="write failed",
        ) from None


def refuse_existing(destination: Path) -> None:
    """OutputExistsError if there is anything at `destination`."""
    if os.path.lexists(destination):
        raise OutputExistsError(
            "the result is there already",
            next_step="choose another destination, or allow overwriting with --overwrite",
            reason="output exists",
        )


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = f"SCANSIDE_{version('scanside')}"[:16]
    return meta
