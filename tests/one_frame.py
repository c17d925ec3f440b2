"""Random frames of every kind that a kernel must map as NumPy does, and both ways to map them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from scanside.runtime.engines.tensorrt.kernels import Kernels, frame_of
from scanside.runtime.frame import FrameFacts, Pixels, stored_values
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import Intensity, Percentiles, StoredRange, Window
from scanside.runtime.tiling import pad, tiles_of

WINDOW = Window(lower=-160.0, upper=240.0, margin=200.0)
Float = npt.NDArray[np.float32]


class Case(NamedTuple):
    """residual: (R * scale, C * scale) and what surrounds it, padded as the network's output is."""

    words: Pixels
    facts: FrameFacts
    intensity: Intensity
    scale: int
    multiple_of: int
    tile: int
    receptive_field: int
    residual: Float


@st.composite
def cases(draw: st.DrawFn) -> Case:
    dtype = np.dtype(draw(st.sampled_from(["uint8", "int8", "uint16", "int16"])))
    bits = draw(st.integers(2, 8 * dtype.itemsize))
    rows, columns = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    scale, multiple_of = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 3, 8]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    raw = rng.integers(0, 256, (rows, columns, dtype.itemsize), dtype=np.uint8)
    words = raw.view(dtype)[..., 0]
    signed = draw(st.booleans())
    if draw(st.booleans()):  # bits above are copies of the sign, or nothing
        plain = FrameFacts(modality="CT", bits_stored=bits, signed=signed)
        words = stored_values(words, plain).astype(dtype)
    facts = FrameFacts(
        modality="CT",
        bits_stored=bits,
        signed=signed,
        photometric=draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2"])),
        slope=draw(st.sampled_from([1.0, -1.0, 0.37, 2.5, -1e-3, 1e5])),
        intercept=draw(st.sampled_from([0.0, -1024.0, 0.1])),
    )
    low, high = facts.stored_range
    ends = draw(st.one_of(st.none(), st.tuples(st.integers(low, high), st.integers(low, high))))
    if ends is not None and draw(st.booleans()):
        # A field of padding, as scanners leave around their picture, and a range next to it.
        ends = ends[0], min(high, ends[0] + 2)
        field = rng.random((rows, columns)) < draw(st.sampled_from([0.02, 0.5, 0.98]))
        words = np.where(field, np.array(ends[0]).astype(dtype), words)
    facts = msgspec.structs.replace(facts, padding=ends)
    width = (high - low) * abs(facts.slope)
    centre = (high + low) / 2 * facts.slope + facts.intercept
    intensity: Intensity = draw(
        st.sampled_from(
            [
                StoredRange(),
                Percentiles(lower=1.0, upper=99.0, margin=0.1),
                Percentiles(lower=0.0, upper=100.0, margin=0.0),
                Window(lower=centre - width / 4, upper=centre + width / 5, margin=width / 9),
                Window(lower=centre, upper=centre + width / 3, margin=0.0),
            ]
        )
    )
    strength = draw(st.sampled_from([0.0, 1e-3, 0.3, 1e30, 3e38]))
    padded = pad(np.zeros((rows, columns), np.float32), multiple_of).shape
    shape = padded[0] * scale, padded[1] * scale
    residual = (rng.uniform(-1, 1, shape) * strength).astype(np.float32)
    tile, field_radius = draw(st.sampled_from([(1024, 0), (32, 5), (16, 3)]))
    return Case(words, facts, intensity, scale, multiple_of, tile, field_radius, residual)


def ring(scale: int) -> Case:
    """A disc in a field of padding whose neighbour in value is in the picture."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:61, :47]
    words = rng.integers(800, 1400, (61, 47)).astype(np.int16)
    words[(y - 30) ** 2 + (x - 23) ** 2 > 500] = -2000
    facts = FrameFacts(
        modality="CT", bits_stored=16, signed=True, intercept=-1024.0, padding=(-2000, -2000)
    )
    residual = rng.standard_normal((64 * scale, 48 * scale)).astype(np.float32) * np.float32(0.1)
    return Case(words, facts, WINDOW, scale, 8, 32, 4, residual)


def halves() -> Case:
    """Sums so many and so coarse that some are a half only if every operation rounds once."""
    rng = np.random.default_rng(6)
    words = rng.integers(33_000, 60_000, (512, 512)).astype(np.uint16)
    facts = FrameFacts(modality="CT", bits_stored=16, signed=False)
    residual = rng.uniform(-0.1, 0.1, (512, 512)).astype(np.float32)
    window = Window(lower=60_000.0, upper=61_000.0, margin=30_000.0)
    return Case(words, facts, window, 1, 1, 1024, 0, residual)


class Memory(NamedTuple):
    """What a kernel can reach: copies an array there, gives the address and what reads it back."""

    there: Callable[[npt.NDArray[Any]], tuple[int, Callable[[], npt.NDArray[Any]]]]


def by_numpy(case: Case) -> tuple[Float, Pixels]:
    frame = FrameMap(case.words, case.facts, case.intensity)
    rows, columns = (side * case.scale for side in case.words.shape)
    out = frame.apply(case.residual[:rows, :columns], case.scale)
    return pad(frame.unit(case.scale), case.multiple_of), out


def by_kernels(case: Case, kernels: Kernels, memory: Memory) -> tuple[Float, Pixels, int] | None:
    """The padded input, put together from its tiles, the words and the flaw; None for a frame that
    has no range."""
    words, scale = np.ascontiguousarray(case.words), case.scale
    unit = FrameMap(words, case.facts, case.intensity).range
    if unit is None:
        return None
    frame = frame_of(
        words.shape,
        words.dtype,
        case.facts,
        unit,
        lowest=_lowest(case),
        scale=scale,
        multiple_of=case.multiple_of,
    )
    padded = frame.padded_rows, frame.padded_columns
    size = words.dtype.itemsize
    source, _ = memory.there(words)
    out, read_out = memory.there(
        np.full((words.shape[0] * scale, words.shape[1] * scale), 85, words.dtype)
    )
    flaw, read_flaw = memory.there(np.zeros(1, np.int32))
    image = np.full(padded, np.nan, np.float32)
    for tile in tiles_of(
        padded,
        tile=case.tile,
        multiple_of=case.multiple_of,
        receptive_field=case.receptive_field,
    ):
        shape = tile.bottom - tile.top, tile.right - tile.left
        piece, read_piece = memory.there(np.full(shape, np.nan, np.float32))
        kernels.unit(size, source, piece, frame, tile)
        image[tile.top : tile.bottom, tile.left : tile.right] = read_piece()
        part = case.residual[
            tile.top * scale : tile.bottom * scale, tile.left * scale : tile.right * scale
        ]
        residual, _ = memory.there(np.ascontiguousarray(part))
        kernels.apply(size, source, residual, out, flaw, frame, tile)
    return image, read_out(), int(read_flaw()[0])


def _lowest(case: Case) -> int:
    stored = stored_values(case.words, case.facts)
    if case.facts.padding is None:
        return 0
    low, high = min(case.facts.padding), max(case.facts.padding)
    return int(stored[(stored < low) | (stored > high)].min())


def compare(case: Case, kernels: Kernels, memory: Memory) -> None:
    """Asserts that both ways give the very same bits."""
    done = by_kernels(case, kernels, memory)
    if done is None:
        return
    image, out, flaw = done
    expected_image, expected_out = by_numpy(case)
    np.testing.assert_array_equal(image, expected_image)
    np.testing.assert_array_equal(out, expected_out)
    assert flaw == 0
