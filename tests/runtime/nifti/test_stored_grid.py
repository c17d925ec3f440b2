"""Floats as whole stored values: exact where they can be, and never coarser than they need be."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanside.runtime.cubic import double
from scanside.runtime.errors import UnsupportedImageError
from scanside.runtime.frame import FrameFacts
from scanside.runtime.nifti.stored_grid import StoredGrid, stored_grid

FACTS = FrameFacts(modality="MR", bits_stored=16, signed=False)


def values_of(grid: StoredGrid, words: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return grid.zero + grid.step * words.astype(np.float64)


@pytest.mark.parametrize(
    ("low", "high", "unit"), [(-1024, 3071, 1), (0, 65534, 1), (-8190, 8190, 0.25), (0, 1, 2**-15)]
)
def test_round_values_are_stored_exactly(low: float, high: float, unit: float) -> None:
    generator = np.random.default_rng(0)
    voxels = low + unit * generator.integers(0, int((high - low) / unit) + 1, (2, 9, 9))
    voxels[0, 0, :2] = low, high
    for dtype in (np.float32, np.float64):
        grid = stored_grid(voxels.astype(dtype))
        words = grid.words(voxels.astype(dtype))
        assert words.dtype == np.uint16
        np.testing.assert_array_equal(values_of(grid, words), voxels)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(0, 99))
def test_the_error_is_half_a_step_and_the_step_is_not_twice_too_large(
    low: float, width: float, seed: int
) -> None:
    voxels = low + width * np.random.default_rng(seed).random((1, 8, 8))
    grid = stored_grid(voxels)
    spread = float(voxels.max() - voxels.min())
    assert grid.step == 2.0 ** round(np.log2(grid.step))
    assert spread / 65534 <= grid.step < 2 * spread / 65534
    assert np.abs(values_of(grid, grid.words(voxels)) - voxels).max() <= grid.step / 2
    assert grid.zero % grid.step == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1, 2])
def test_an_unchanged_frame_is_the_very_floats_or_their_cubic(dtype: Any, scale: int) -> None:
    frame = np.random.default_rng(1).normal(0, 300, (7, 6)).astype(dtype)
    frame[0, 0] = -0.0
    grid = stored_grid(frame[None])
    words = grid.words(frame)
    if scale == 1:
        got = grid.apply(frame, words, FACTS, 1)
        assert got.tobytes() == frame.tobytes()
        return
    base = double(words.astype(np.float32))
    unchanged = np.clip(np.rint(base), 0, 65535).astype(np.uint16)
    want = double(frame.astype(np.float64))  # type: ignore[arg-type]
    inside = np.clip(want, grid.zero, grid.zero + 65535 * grid.step)
    got = grid.apply(frame, unchanged, FACTS, 2)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, inside.astype(dtype))


def test_a_change_arrives_in_steps_and_ends_at_what_16_bits_reach() -> None:
    frame = np.random.default_rng(2).normal(0, 300, (7, 6))
    grid = stored_grid(frame[None])
    words = grid.words(frame)
    words[words > 65000] = 65000
    np.testing.assert_allclose(
        grid.apply(frame, words + np.uint16(40), FACTS, 1) - frame,
        grid.step * (words.astype(float) + 40 - grid.words(frame)),
        atol=1e-9,
    )
    bottom = grid.apply(frame, np.zeros_like(words), FACTS, 1)
    assert bottom.min() >= grid.zero


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    voxels = np.ones((2, 4, 4), np.float32)
    voxels[1, 2, 3] = bad
    with pytest.raises(UnsupportedImageError) as caught:
        stored_grid(voxels)
    assert caught.value.reason == "not finite"


def test_outliers_that_take_the_bits_of_the_others_are_refused() -> None:
    voxels = np.random.default_rng(3).normal(100, 10, (4, 64, 64))
    voxels[:3] = 0
    stored_grid(voxels)
    voxels[3, 5, 5] = 1e6
    with pytest.raises(UnsupportedImageError, match="clip the outliers"):
        stored_grid(voxels)
    stored_grid(np.where(voxels > 1e5, 40000, np.rint(voxels)))  # whole numbers: nothing is lost
    for huge in (1e31, -3e38, 1e300):
        voxels[3, 5, 5] = huge
        with pytest.raises(UnsupportedImageError) as caught:
            stored_grid(voxels)
        assert caught.value.reason == "value range"


@pytest.mark.parametrize("value", [0.0, -7.25, 1e-310, 1e29])
def test_a_constant_volume_passes(value: float) -> None:
    voxels = np.full((2, 4, 4), value)
    grid = stored_grid(voxels)
    got = grid.apply(voxels[0], grid.words(voxels[0]), FACTS, 1)
    np.testing.assert_array_equal(got, voxels[0])
