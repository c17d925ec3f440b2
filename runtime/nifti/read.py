"""A .nii or .nii.gz file -> its voxels as frames, or a typed refusal."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from scanside.runtime.errors import UnreadableImageError
from scanside.runtime.nifti.header import Header, read_header
from scanside.runtime.nifti.refusals import damaged, pair, truncated

SUFFIXES = (".nii", ".nii.gz")
Voxels = npt.NDArray[Any]

_CHUNK = 2**20
# Deflate's best case is 258 bytes in 2 bits: zlib's own figure (https://zlib.net/zlib_tech.html).
_LARGEST_RATIO = 1032


class Volume(NamedTuple):
    """header: of the file. voxels: (t * k, j, i) as stored, native byte order: one frame for each
    position along the third axis (and time), rows along the second axis, columns along the first.
    """

    header: Header
    voxels: Voxels


def is_nifti(path: Path) -> bool:
    """Whether the name says that this is a NIfTI file."""
    return path.name.lower().endswith(SUFFIXES)


def check_pair(path: Path) -> None:
    """UnsupportedImageError (reason "NIfTI pair") if a .hdr or .img file is half of a volume."""
    if path.suffix.lower() not in (".hdr", ".img"):
        return
    for suffix in (".hdr", ".HDR"):
        try:
            with path.with_suffix(suffix).open("rb") as stream:
                size = stream.read(4)
        except OSError:
            continue
        if {int.from_bytes(size, "little"), int.from_bytes(size, "big")} & {348, 540}:
            raise pair()


def read_volume(path: Path) -> Volume:
    """Read one file; never more of it than its header declares, and one byte.

    Raises what `read_header` does, and UnreadableImageError with reason "truncated", "damaged"
    (a bad gzip stream, or bytes after the last voxel) or "not readable".
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (gzip.BadGzipFile, zlib.error):
        raise damaged("its compressed stream is broken") from None
    except EOFError:
        raise truncated() from None
    except OSError as error:
        raise UnreadableImageError(
            f"the file cannot be read: {error.strerror or 'input/output error'}",
            next_step="check the path and its permissions",
            reason="not readable",
        ) from None


def _read(file: BinaryIO) -> Volume:
    compressed = file.read(2) == b"\x1f\x8b"
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if compressed else file
    header = read_header(stream)
    if header.offset + header.voxel_bytes > size * (_LARGEST_RATIO if compressed else 1):
        raise truncated()  # said before room is made for what the file cannot hold
    _skip(stream, header.offset - header.nibabel.structarr.dtype.itemsize)
    i, j, k, t = header.shape
    voxels = np.empty((t * k, j, i), dtype=header.dtype)
    _fill(stream, voxels)
    if stream.read(1):  # reading to the end also checks gzip's sum
        raise damaged("it goes on after the last voxel that its header declares")
    return Volume(header, voxels.astype(header.dtype.newbyteorder("="), copy=False))


def _skip(stream: BinaryIO, count: int) -> None:
    """Read over extensions, which gzip cannot seek past any cheaper."""
    while count:
        piece = stream.read(min(count, _CHUNK))
        if not piece:
            raise truncated()
        count -= len(piece)


def _fill(stream: BinaryIO, voxels: Voxels) -> None:
    room = voxels.reshape(-1).view(np.uint8)
    while room.size:
        piece = stream.read(min(room.size, _CHUNK))
        if not piece:
            raise truncated()
        room[: len(piece)] = np.frombuffer(piece, np.uint8)
        room = room[len(piece) :]
