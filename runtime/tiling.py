"""Frames of any size through a network that wants sizes of its own, in tiles where they are large.

A frame is padded at the bottom and right once; tiles are cut from the padded frame, all of one
shape, at origins that keep the network's pooling grid, and overlap by what an output pixel can
see. So tiled equals untiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scanside.runtime.errors import EngineError

Float = npt.NDArray[np.float32]
Network = Callable[[Float], Float]
"""(N, 1, H, W) float32 -> (N, 1, H * scale, W * scale) float32."""

# Smaller frames are padded up to this: a pooled 1 x 1 is an edge case of every library's kernels,
# and each tiny shape would be compiled on its own.
MINIMUM_SIDE = 32


class Tile(NamedTuple):
    """A piece of a padded frame, in its pixels: what goes in (top to bottom, left to right), and
    what is kept of it (first to last)."""

    top: int
    bottom: int
    left: int
    right: int
    first_row: int
    last_row: int
    first_column: int
    last_column: int


def tiles_of(
    shape: tuple[int, int], *, tile: int, multiple_of: int, receptive_field: int
) -> list[Tile]:
    """The tiles of a padded frame of `shape`, all of one shape; see `run_tiled` for the rest."""
    overlap = _round_up(receptive_field, multiple_of)
    side = max(_round_up(tile, multiple_of), 2 * overlap + multiple_of)
    return [
        Tile(top, bottom, left, right, first_row, last_row, first_column, last_column)
        for top, bottom, first_row, last_row in _spans(shape[0], side, overlap)
        for left, right, first_column, last_column in _spans(shape[1], side, overlap)
    ]


def padded_side(length: int, multiple_of: int) -> int:
    """What `pad` makes of a side."""
    return _round_up(max(length, MINIMUM_SIDE), multiple_of)


def run_tiled(
    network: Network,
    image: Float,
    *,
    tile: int,
    multiple_of: int,
    receptive_field: int,
    scale: int,
) -> Float:
    """`network` over one frame of any size.

    image: (R, C) float32. tile: the longest side, in input pixels, that goes through in one piece;
    raised where the receptive field leaves no room. receptive_field: the radius, in input pixels,
    of what an output pixel depends on. Returns (R * scale, C * scale) float32.
    """
    rows, columns = image.shape
    padded = pad(image, multiple_of)
    tiles = tiles_of(
        (padded.shape[0], padded.shape[1]),
        tile=tile,
        multiple_of=multiple_of,
        receptive_field=receptive_field,
    )
    if len(tiles) == 1:
        return _one(network, padded, scale)[: rows * scale, : columns * scale]
    out = np.empty((padded.shape[0] * scale, padded.shape[1] * scale), dtype=np.float32)
    for top, bottom, left, right, first_row, last_row, first_column, last_column in tiles:
        piece = _one(network, padded[top:bottom, left:right], scale)
        out[first_row * scale : last_row * scale, first_column * scale : last_column * scale] = (
            piece[
                (first_row - top) * scale : (last_row - top) * scale,
                (first_column - left) * scale : (last_column - left) * scale,
            ]
        )
    return out[: rows * scale, : columns * scale]


def pad(image: Float, multiple_of: int) -> Float:
    """(R, C) padded at the bottom and right to the next multiple, and to MINIMUM_SIDE at least:
    by reflection, or by the edge along a side that is too short to reflect."""
    for axis, length in enumerate(image.shape):
        missing = padded_side(length, multiple_of) - length
        if missing:
            widths = [(0, 0), (0, 0)]
            widths[axis] = (0, missing)
            image = np.pad(image, widths, mode="reflect" if missing < length else "edge")
    return image


def _one(network: Network, piece: Float, scale: int) -> Float:
    out: Float = network(np.ascontiguousarray(piece)[np.newaxis, np.newaxis])
    expected = (1, 1, piece.shape[0] * scale, piece.shape[1] * scale)
    if out.shape != expected:
        raise EngineError(f"the network gave {out.shape}, not {expected}")
    return out.reshape(expected[2:])


def _spans(length: int, side: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """Tiles along one axis: (start, stop) of what goes in, (first, last) of what is kept."""
    if length <= side:
        return [(0, length, 0, length)]
    spans = []
    kept = 0
    for nominal in range(0, length - 2 * overlap, side - 2 * overlap):
        start = min(nominal, length - side)
        stop = start + side
        last = length if stop == length else stop - overlap
        spans.append((start, stop, kept, last))
        kept = last
    return spans


def _round_up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple
