"""Headers that lie, are damaged or describe what is no image: a typed refusal for each."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from scanside.runtime.errors import ImageError, UnreadableImageError, UnsupportedImageError
from scanside.runtime.nifti.header import read_header

nibabel = pytest.importorskip("nibabel")

AFFINE = np.array([[0, 0.8, 0.1, 5], [0.5, 0, 0, -7], [0, 0.2, 3, 9], [0, 0, 0, 1.0]])


def header(kind: Any = None, **fields: Any) -> bytes:
    """Bytes of a good int16 header of 5 x 4 x 3 with `fields` set on top."""
    made = (kind or nibabel.Nifti1Header)()
    made.set_data_dtype(np.int16)
    made.set_data_shape((5, 4, 3))
    made.set_qform(AFFINE, 1, strip_shears=True)
    made.set_sform(AFFINE, 1)
    made["vox_offset"] = made.structarr.dtype.itemsize + 4
    for name, value in fields.items():
        made.structarr[name] = value
    block: bytes = made.binaryblock
    return block


def dim(*values: int) -> list[int]:
    return [*values, *[1] * (8 - len(values))]


@pytest.mark.parametrize("kind", ["Nifti1Header", "Nifti2Header"])
@pytest.mark.parametrize("swap", [False, True])
def test_what_a_good_header_says(kind: str, swap: bool) -> None:
    block = header(getattr(nibabel, kind), dim=dim(4, 5, 4, 3, 2), scl_slope=2, scl_inter=-3)
    if swap:
        block = getattr(nibabel, kind)(block).as_byteswapped(">").binaryblock
    got = read_header(io.BytesIO(block))
    assert (got.shape, got.slope, got.intercept) == ((5, 4, 3, 2), 2, -3)
    assert got.dtype == np.dtype(">i2" if swap else "<i2")
    assert got.voxel_bytes == 240
    assert got.offset == len(block) + 4


@pytest.mark.parametrize("slope", [0, np.nan, np.inf])
def test_no_usable_slope_means_no_scaling(slope: float) -> None:
    got = read_header(io.BytesIO(header(scl_slope=slope, scl_inter=7)))
    assert (got.slope, got.intercept) == (1, 0)


PIXDIM = [1.0, 1, 1, 1, 0, 0, 0, 0]
LIES: list[tuple[str, dict[str, Any]]] = [
    ("dimensions", {"dim": dim(2, 5, 4)}),
    ("dimensions", {"dim": dim(5, 5, 4, 3, 1, 2)}),
    ("dimensions", {"dim": dim(-3, 5, 4, 3)}),
    ("malformed header", {"dim": dim(3, -5, 4, 3)}),
    ("malformed header", {"dim": dim(3, 5, 0, 3)}),
    ("malformed header", {"dim": dim(4, 5, 4, 3, -1)}),
    ("too large", {"dim": dim(4, 32767, 32767, 32767, 32767)}),
    ("too large", {"vox_offset": 1e9}),
    ("malformed header", {"vox_offset": 0}),
    ("malformed header", {"vox_offset": 352.5}),
    ("malformed header", {"vox_offset": np.nan}),
    ("malformed header", {"vox_offset": -1e9}),
    ("malformed header", {"bitpix": 8}),
    ("malformed header", {"datatype": 0}),
    ("malformed header", {"datatype": 1}),
    ("malformed header", {"datatype": -4}),
    ("colour", {"datatype": 128, "bitpix": 24}),
    ("colour", {"datatype": 2304, "bitpix": 32}),
    ("complex", {"datatype": 32, "bitpix": 64}),
    ("bits", {"datatype": 8, "bitpix": 32}),
    ("bits", {"datatype": 1024, "bitpix": 64}),
    ("intent", {"intent_code": 1002}),
    ("intent", {"intent_code": 1007}),
    ("malformed header", {"scl_slope": 1, "scl_inter": np.inf}),
    ("malformed header", {"srow_x": [np.nan, 0, 0, 0]}),
    ("malformed header", {"srow_y": [0.0, 0, 0, 0]}),
    ("malformed header", {"srow_z": [1.0, 0, np.inf, 0]}),
    ("malformed header", {"quatern_b": 0.9, "quatern_c": 0.9}),
    ("malformed header", {"quatern_d": np.nan}),
    ("malformed header", {"qoffset_z": np.inf}),
    ("malformed header", {"pixdim": [1.0, 0, 1, 1, 0, 0, 0, 0]}),
    ("malformed header", {"pixdim": [1.0, 1, -1, 1, 0, 0, 0, 0]}),
    ("malformed header", {"pixdim": [1.0, 1, 1, np.nan, 0, 0, 0, 0]}),
]


@pytest.mark.parametrize(("reason", "fields"), LIES)
def test_each_lie_has_its_refusal(reason: str, fields: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedImageError) as caught:
        read_header(io.BytesIO(header(**fields)))
    assert caught.value.reason == reason
    assert caught.value.next_step


def test_a_size_beyond_64_bits_is_too_large() -> None:
    block = header(nibabel.Nifti2Header, dim=dim(4, *[2**40] * 4))
    with pytest.raises(UnsupportedImageError, match="too large"):
        read_header(io.BytesIO(block))


def test_a_form_that_is_not_in_use_is_not_looked_at() -> None:
    read_header(io.BytesIO(header(sform_code=0, srow_x=[np.nan] * 4)))
    read_header(io.BytesIO(header(qform_code=0, quatern_b=9)))


def test_half_of_a_pair_and_what_is_no_nifti() -> None:
    with pytest.raises(UnsupportedImageError, match=r"\.nii"):
        read_header(io.BytesIO(header(magic=b"ni1")))
    with pytest.raises(UnreadableImageError, match="not a NIfTI"):
        read_header(io.BytesIO(header(magic=b"")))  # Analyze 7.5
    with pytest.raises(UnreadableImageError, match="not a NIfTI"):
        read_header(io.BytesIO(header(nibabel.Nifti2Header)[:5] + b"x" * 535))
    for junk in (b"", b"\x5c", b"\0" * 1000, b"GIF89a" * 99):
        with pytest.raises(UnreadableImageError, match="not a NIfTI"):
            read_header(io.BytesIO(junk))


@pytest.mark.parametrize("kind", ["Nifti1Header", "Nifti2Header"])
def test_every_cut_of_a_header_is_refused(kind: str) -> None:
    block = header(getattr(nibabel, kind))
    for length in range(len(block)):
        with pytest.raises(UnreadableImageError):
            read_header(io.BytesIO(block[:length]))


@pytest.mark.parametrize("seed", range(4))
def test_noise_in_a_header_ends_in_a_header_or_a_typed_error(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for _ in range(300):
        block = bytearray(header())
        for place in generator.integers(0, 348, generator.integers(1, 12)):
            block[place] = generator.integers(256)
        try:
            got = read_header(io.BytesIO(block))
        except ImageError:
            continue
        assert 0 < got.voxel_bytes <= 2**31
