"""Truncation and interpolation on the half-pixel-centred grid, against sinusoids in float64."""

import numpy as np
import pytest

from scanside.runtime.cubic import double
from scanside.train.degradations.interpolation import lanczos
from scanside.train.degradations.kspace import truncate, zero_fill

FINE = (48, 72)
METHODS = {
    "bicubic": double,
    "lanczos3": lambda image: lanczos(image, 3),
    "lanczos5": lambda image: lanczos(image, 5),
    "zero-filled": zero_fill,
}


def wave(cycles: tuple[int, int], phase: float = 0.4, coarse: bool = False) -> np.ndarray:
    """A sinusoid with whole cycles per side; coarse pixel j lies at fine 2j + 1/2."""
    at = [np.arange(n // 2) * 2 + 0.5 if coarse else np.arange(n) for n in FINE]
    turns = cycles[0] * at[0][:, None] / FINE[0] + cycles[1] * at[1][None, :] / FINE[1]
    return (1000 + 300 * np.cos(2 * np.pi * turns + phase)).astype(np.float32)


@pytest.mark.parametrize("cycles", [(1, 0), (0, 1), (3, 5), (11, 0), (5, 17), (-7, 9)])
def test_what_the_coarse_grid_can_hold_is_kept_in_its_place(cycles):
    assert truncate(wave(cycles)) == pytest.approx(wave(cycles, coarse=True), abs=2e-3)
    assert zero_fill(wave(cycles, coarse=True)) == pytest.approx(wave(cycles), abs=2e-3)


@pytest.mark.parametrize("cycles", [(13, 0), (0, 19), (23, 2), (2, 30)])
def test_what_would_alias_is_gone(cycles):
    assert truncate(wave(cycles)) == pytest.approx(np.full((24, 36), 1000), abs=2e-3)


@pytest.mark.parametrize("shape", [(48, 72), (50, 66), (2, 6), (62, 64)])
def test_the_mean_is_kept_and_zero_filling_is_undone(shape):
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 4000, shape).astype(np.float32)
    coarse = truncate(image)
    assert coarse.shape == (shape[0] // 2, shape[1] // 2)
    assert coarse.dtype == np.float32
    assert coarse.mean() == pytest.approx(image.mean(), rel=1e-5)
    fine = zero_fill(coarse)
    assert fine.shape == image.shape
    # Twice through: the Nyquist line apart, nothing is lost.
    again = truncate(fine)
    spectrum = np.fft.fft2(again - coarse.astype(np.float64))
    for axis, n in enumerate(coarse.shape):
        if n % 2 == 0:
            np.moveaxis(spectrum, axis, 0)[n // 2] = 0
    assert np.abs(spectrum).max() < 1e-4 * np.abs(np.fft.fft2(coarse)).max()


def test_the_coarse_nyquist_frequency_counts_half_on_either_edge():
    """It stands for two lines of the fine k-space: zero-filling splits it between them, and
    truncation, whose window cuts through them, keeps half of each."""
    coarse = np.tile(np.where(np.arange(36) % 2, -100.0, 100.0), (24, 1)).astype(np.float32)
    at = np.arange(72)
    fine = np.tile(100 * np.cos(np.pi / 2 * (at - 0.5)), (48, 1))
    assert zero_fill(coarse) == pytest.approx(fine, abs=1e-3)
    assert zero_fill(coarse.T) == pytest.approx(fine.T, abs=1e-3)
    assert truncate(fine.astype(np.float32)) == pytest.approx(coarse / 2, abs=1e-3)


def test_truncation_is_neither_averaging_nor_bicubic():
    image = np.random.default_rng(1).uniform(0, 1000, FINE).astype(np.float32)
    averaged = image.reshape(24, 2, 36, 2).mean((1, 3))
    assert np.abs(truncate(image) - averaged).mean() > 20


@pytest.mark.parametrize("shape", [(7, 8), (8, 7)])
def test_an_odd_side_is_refused(shape):
    with pytest.raises(ValueError, match="odd"):
        truncate(np.zeros(shape, np.float32))


@pytest.mark.parametrize("method", METHODS)
def test_no_interpolation_shifts_the_image(method):
    """The phase of a slow sinusoid: a hundredth of a pixel would show."""
    found = METHODS[method](wave((2, 3), coarse=True)).astype(np.float64)
    inner = np.s_[12:-12, 12:-12]  # away from clamped edges
    rows, columns = np.mgrid[: FINE[0], : FINE[1]]
    turn = np.exp(-2j * np.pi * (2 * rows / FINE[0] + 3 * columns / FINE[1]))
    # On 24 x 48 pixels one and two whole cycles fit: the mean is orthogonal to the wave.
    phase = np.angle(((found - 1000) * turn)[inner].sum())
    reference = np.angle(((wave((2, 3)).astype(np.float64) - 1000) * turn)[inner].sum())
    assert phase == pytest.approx(reference, abs=2e-3)


def centre(image: np.ndarray) -> tuple[float, float]:
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    total = image.sum()
    return float((rows * image).sum() / total), float((columns * image).sum() / total)


@pytest.mark.parametrize("method", METHODS)
def test_a_blob_stays_where_it_is(method):
    rows, columns = np.mgrid[:32, :40]
    blob = np.exp(-((rows - 15.3) ** 2 + (columns - 20.6) ** 2) / (2 * 3.0**2))
    assert centre(METHODS[method](blob.astype(np.float32)).astype(np.float64)) == pytest.approx(
        (2 * 15.3 + 0.5, 2 * 20.6 + 0.5), abs=0.01
    )


@pytest.mark.parametrize("lobes", [3, 5])
def test_lanczos_is_the_windowed_sinc(lobes):
    """The response to one pixel is sinc(x) sinc(x / lobes), up to its normalisation."""
    image = np.zeros((1, 31), np.float32)
    image[0, 15] = 1
    found = lanczos(image, lobes)[0]
    offset = (np.arange(62) - 0.5) / 2 - 15
    kernel = np.sinc(offset) * np.sinc(offset / lobes) * (np.abs(offset) < lobes)
    even = kernel[0::2].sum()
    assert found == pytest.approx(kernel / even, abs=1e-5)
    assert lanczos(np.full((5, 6), 7, np.float32), lobes) == pytest.approx(np.full((10, 12), 7))
