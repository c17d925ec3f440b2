"""The intensity map's kernels, as Python starts them: kernels.cu is their source.

What ships is kernels.ptx, made from it by NVRTC 12.6 (docs/tensorrt.md tells how, and a test that
it was): the driver translates it for its own GPU, so that a device needs no compiler.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scanside.runtime.frame import FrameFacts
from scanside.runtime.tiling import Tile, padded_side
from scanside.runtime.unit_range import LARGEST_CONSTANT, UnitRange

SOURCE = Path(__file__).with_name("kernels.cu")
PTX = SOURCE.with_suffix(".ptx")
PTX_OPTIONS = ("--gpu-architecture=compute_75", "--fmad=false", "--std=c++14")
"""The oldest GPU that TensorRT 10.3 runs on; PTX is for it and all that came after."""
BLOCK = (32, 8, 1)
# Beyond all stored values: a range out there holds none of them, and every int fits.
_NO_VALUE = 1 << 17


class Frame(NamedTuple):
    """`struct Frame` of kernels.cu, field by field."""

    rows: int
    columns: int
    padded_rows: int
    padded_columns: int
    scale: int
    bits: int
    value_signed: int
    word_signed: int
    first_padding: int
    last_padding: int
    lowest: int
    zero: float
    span: float
    fade: float
    limit: float

    def pack(self) -> bytes:
        return _FRAME.pack(*self)


_FRAME = struct.Struct("11i4f")
_TILE = struct.Struct("8i")
_UNIT = f"PP{_FRAME.size}s{_TILE.size}s"
_APPLY = f"PPPP{_FRAME.size}s{_TILE.size}s"


def frame_of(
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    facts: FrameFacts,
    unit: UnitRange,
    *,
    lowest: int,
    scale: int,
    multiple_of: int,
) -> Frame:
    """The constants of one frame. shape: (R, C). unit: `FrameMap.range`, found on the CPU.
    lowest: the smallest stored value that is no padding; of use at scale 2 alone."""
    first, last = (1, 0) if facts.padding is None else sorted(facts.padding)
    return Frame(
        rows=shape[0],
        columns=shape[1],
        padded_rows=padded_side(shape[0], multiple_of),
        padded_columns=padded_side(shape[1], multiple_of),
        scale=scale,
        bits=facts.bits_stored,
        value_signed=int(facts.signed),
        word_signed=int(dtype.kind == "i"),
        first_padding=max(-_NO_VALUE, min(first, _NO_VALUE)),
        last_padding=max(-_NO_VALUE, min(last, _NO_VALUE)),
        lowest=lowest,
        zero=unit.zero,
        span=unit.span,
        fade=unit.fade,
        limit=LARGEST_CONSTANT / abs(unit.span),
    )


class Kernels:
    """The kernels, loaded into the current context; every launch is queued on `stream`."""

    def __init__(self, cuda: Any, stream: Any) -> None:
        self._stream = stream
        self._module = cuda.module_from_buffer(PTX.read_bytes() + b"\0")  # C's end of text
        self._unit, self._apply = (
            {
                size: self._module.get_function(f"{name}{8 * size}").prepare([arguments])
                for size in (1, 2)
            }
            for name, arguments in (("unit", _UNIT), ("apply", _APPLY))
        )

    def unit(self, itemsize: int, words: int, image: int, frame: Frame, tile: Tile) -> None:
        """Words of `itemsize` bytes -> the network's input for one tile. words, image: the GPU's
        addresses."""
        rows, columns = tile.bottom - tile.top, tile.right - tile.left
        grid = _grid(rows, columns)
        packed = frame.pack(), pack_tile(tile, frame)
        self._unit[itemsize].prepared_async_call(grid, BLOCK, self._stream, words, image, *packed)

    def apply(
        self,
        itemsize: int,
        words: int,
        residual: int,
        out: int,
        flaw: int,
        frame: Frame,
        tile: Tile,
    ) -> None:
        """What is kept of a tile -> words of the enhanced frame; `flaw` (an int32) becomes 1 where
        a residual is not finite. All but the last two are addresses or sizes in bytes."""
        rows = min(tile.last_row, frame.rows) - tile.first_row
        columns = min(tile.last_column, frame.columns) - tile.first_column
        if rows <= 0 or columns <= 0:  # all of it is padding of the frame
            return
        grid = _grid(rows * frame.scale, columns * frame.scale)
        packed = frame.pack(), pack_tile(tile, frame)
        self._apply[itemsize].prepared_async_call(
            grid, BLOCK, self._stream, words, residual, out, flaw, *packed
        )


def pack_tile(tile: Tile, frame: Frame) -> bytes:
    """`struct Tile` of kernels.cu: what is kept ends where the frame does."""
    return _TILE.pack(
        tile.top,
        tile.left,
        tile.bottom - tile.top,
        tile.right - tile.left,
        tile.first_row,
        min(tile.last_row, frame.rows),
        tile.first_column,
        min(tile.last_column, frame.columns),
    )


def _grid(rows: int, columns: int) -> tuple[int, int]:
    return -(-columns // BLOCK[0]), -(-rows // BLOCK[1])
