"""Rician noise against Gudbjartsson and Patz (1995)."""

import numpy as np
import pytest

from scanside.train.degradations.rician import rician, rician_mean, rician_mean_inverse

SIDE = 512
SIGMA = 20.0


def draw(amplitude: float, acquired: float = 1.0, seed: int = 0) -> np.ndarray:
    flat = np.full((SIDE, SIDE), amplitude, np.float32)
    return rician(flat, SIGMA, np.random.default_rng(seed), acquired)


@pytest.mark.parametrize("acquired", [1.0, 0.7, 0.5])
def test_background_is_rayleigh(acquired):
    noise = draw(0.0, acquired)
    assert noise.dtype == np.float32
    assert noise.mean() == pytest.approx(SIGMA * np.sqrt(np.pi / 2), rel=0.01)
    assert noise.std() == pytest.approx(SIGMA * np.sqrt(2 - np.pi / 2), rel=0.01)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 5.0, 20.0])
def test_moments_at_any_signal_to_noise_ratio(ratio):
    """The second moment is a^2 + 2 sigma^2 exactly; the mean is `rician_mean`."""
    amplitude = ratio * SIGMA
    noisy = draw(amplitude).astype(np.float64)
    mean = rician_mean(np.array([amplitude]), SIGMA)[0]
    assert noisy.mean() == pytest.approx(mean, abs=4 * SIGMA / SIDE)
    assert np.square(noisy).mean() == pytest.approx(amplitude**2 + 2 * SIGMA**2, rel=0.01)
    assert noisy.var() == pytest.approx(amplitude**2 + 2 * SIGMA**2 - mean**2, rel=0.02)


def test_the_mean_is_the_integral_over_the_rician_density():
    """p(m) = m / s^2 exp(-(m^2 + a^2) / 2 s^2) I0(a m / s^2), by quadrature in float64."""
    m = np.linspace(0, 60, 60001)[1:]
    for a in (0.0, 0.7, 2.0, 6.0, 15.0):
        bessel = np.i0(np.minimum(a * m, 700.0))
        density = m * np.exp(-(m**2 + a**2) / 2) * bessel
        expected = (m * density).sum() / density.sum()
        assert rician_mean(np.array([a]), 1.0)[0] == pytest.approx(expected, rel=1e-5)


def test_the_inverse_undoes_the_mean():
    amplitude = np.concatenate([np.linspace(0, 39, 500), np.linspace(41, 4000, 500)]) * SIGMA
    back = rician_mean_inverse(rician_mean(amplitude, SIGMA), SIGMA)
    assert back == pytest.approx(amplitude, abs=0.003 * SIGMA)


def test_what_is_no_brighter_than_the_background_is_nothing():
    means = np.array([0.0, 0.5, 1.0]) * SIGMA * np.sqrt(np.pi / 2)
    assert (rician_mean_inverse(means, SIGMA) == 0).all()


def test_an_interpolating_scanner_has_no_noise_beyond_what_it_measured():
    """Of a strong signal the magnitude's noise is the real channel's (Gudbjartsson, eq. 5)."""
    noise = draw(1e5, acquired=0.5).astype(np.float64) - 1e5
    spectrum = np.square(np.abs(np.fft.fft2(noise)))
    row = np.abs(np.fft.fftfreq(SIDE))
    measured = (row[:, None] <= 0.25) & (row[None, :] <= 0.25)
    # float32 rounds 1e5 to 1/128, whose noise is white.
    assert spectrum[~measured].mean() < 1e-4 * spectrum[measured].mean()
    assert noise.std() == pytest.approx(SIGMA, rel=0.01)
