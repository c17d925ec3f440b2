"""The header of a NIfTI file: what it promises, checked before a byte of the voxels is believed.

NIfTI-1: https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h; NIfTI-2: nifti2.h beside it.
nibabel lays the fields out; the checks are ours, for its own repair what they find or let it pass.
"""

from __future__ import annotations

import math
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from scanside.runtime.errors import MissingExtraError
from scanside.runtime.nifti.geometry import check_geometry
from scanside.runtime.nifti.refusals import malformed, not_nifti, pair, truncated, unsupported

MAX_VOXEL_BYTES = 2**31  # as MAX_PIXEL_BYTES of a DICOM image
MAX_EXTENSION_BYTES = 2**26  # dcm2niix, AFNI and Caret write kilobytes

Order = Literal["<", ">"]

_NIFTI_1, _NIFTI_2 = 348, 540  # bytes of the header, and its first word
_EXTENSION_FLAG = 4
_DTYPES = {2: "u1", 256: "i1", 4: "i2", 512: "u2", 16: "f4", 64: "f8"}
_COLOUR, _COMPLEX, _WIDE = (128, 2304), (32, 1792, 2048), (8, 768, 1024, 1280, 1536)
# NIFTI_INTENT_NONE and _TIME_SERIES; the others are labels, statistics, vectors and meshes.
_IMAGES = (0, 2001)


class Header(NamedTuple):
    """A header that may be believed.

    nibabel: its Nifti1Header or Nifti2Header. shape: (i, j, k, t), i fastest, t 1 in a 3D file.
    dtype: as stored, byte order included. offset: of the first voxel. slope, intercept: stored
    value -> modality value, 1 and 0 where the file scales nothing.
    """

    nibabel: Any
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float

    @property
    def voxel_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: BinaryIO) -> Header:
    """The header at the beginning of a stream; reads no further than its 348 or 540 bytes.

    Raises UnreadableImageError (reason "not NIfTI", "truncated"), UnsupportedImageError (reason
    "NIfTI pair", "colour", "complex", "bits", "dimensions", "intent", "too large", "malformed
    header") or MissingExtraError without nibabel.
    """
    block, order = _block(stream)
    nibabel = nibabel_class(len(block))(block, order, check=False)
    fields = nibabel.structarr
    dtype = _dtype(fields).newbyteorder(order)
    shape = _shape(fields["dim"])
    if int(fields["intent_code"]) not in _IMAGES:
        raise unsupported("intent", "the volume holds labels, statistics or vectors, no image")
    if math.prod(shape) * dtype.itemsize > MAX_VOXEL_BYTES:
        raise unsupported("too large", f"more than {MAX_VOXEL_BYTES >> 20} MiB")
    check_geometry(fields)
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or not math.isfinite(slope):  # nifti1.h: "if nonzero"; nibabel reads NaN alike
        slope, intercept = 1.0, 0.0
    if not math.isfinite(intercept):
        raise malformed("scl_inter")
    return Header(nibabel, shape, dtype, _offset(fields, len(block)), slope, intercept)


def nibabel_class(size: int) -> Any:
    """nibabel's class of the header that is `size` bytes long; MissingExtraError without it."""
    try:
        from nibabel.nifti1 import Nifti1Header
        from nibabel.nifti2 import Nifti2Header
    except ImportError:
        raise MissingExtraError("nifti", "nibabel") from None
    return Nifti1Header if size == _NIFTI_1 else Nifti2Header


def _block(stream: BinaryIO) -> tuple[bytes, Order]:
    """The header's bytes and their byte order."""
    block = stream.read(_NIFTI_1)
    orders: tuple[Order, Order] = ("<", ">")
    for order in orders:
        size = int(np.frombuffer(block[:4].ljust(4, b"\0"), f"{order}i4")[0])
        if size not in (_NIFTI_1, _NIFTI_2):
            continue
        block += stream.read(size - _NIFTI_1)
        if len(block) < size:
            raise truncated()
        magic = block[344:348] if size == _NIFTI_1 else block[4:12]
        if magic in (b"n+1\0", b"n+2\0\r\n\x1a\n"):
            return block, order
        if magic[:3] in (b"ni1", b"ni2"):
            raise pair()
    raise not_nifti()


def _dtype(fields: npt.NDArray[np.void]) -> np.dtype[Any]:
    code = int(fields["datatype"])
    if code in _COLOUR:
        raise unsupported("colour", "only volumes in shades of grey are enhanced")
    if code in _COMPLEX:
        raise unsupported("complex", "voxels are complex numbers", "take their magnitude first")
    if code in _WIDE:
        raise unsupported(
            "bits",
            "integers of 8 or 16 bits and floats of 32 or 64 bits are served",
            "store the volume as one of these first",
        )
    if code not in _DTYPES:
        raise malformed("datatype")
    dtype = np.dtype(_DTYPES[code])
    if int(fields["bitpix"]) != 8 * dtype.itemsize:
        raise malformed("bitpix")
    return dtype


def _shape(dim: npt.NDArray[Any]) -> tuple[int, int, int, int]:
    axes, i, j, k, t = (int(n) for n in dim[:5])
    if axes not in (3, 4):
        raise unsupported("dimensions", "volumes of 3 or 4 dimensions are served")
    if axes == 3:
        t = 1
    if min(i, j, k, t) < 1:
        raise malformed("dim")
    return i, j, k, t


def _offset(fields: npt.NDArray[np.void], size: int) -> int:
    offset = float(fields["vox_offset"])
    smallest = size + _EXTENSION_FLAG
    if not (math.isfinite(offset) and offset.is_integer() and offset >= smallest):
        raise malformed("vox_offset")
    if offset - smallest > MAX_EXTENSION_BYTES:
        raise unsupported("too large", f"over {MAX_EXTENSION_BYTES >> 20} MiB before the voxels")
    return int(offset)
