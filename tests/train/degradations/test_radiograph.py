"""Photon noise against counting statistics and the scintillator's transfer function."""

import numpy as np
import pytest

from scanside.train.degradations.radiograph import photon_noise

LIMIT = 4095.0
SIDE = 512


def draw(signal: float, quanta: float, read: float = 0.0, blur: float = 0.0) -> np.ndarray:
    flat = np.full((SIDE, SIDE), signal, np.float32)
    return photon_noise(flat, LIMIT, quanta, read, blur, np.random.default_rng(0))


@pytest.mark.parametrize(("signal", "quanta"), [(4095, 200), (2000, 1000), (300, 10000), (20, 200)])
@pytest.mark.parametrize("read", [0.0, 3.0, 15.0])
def test_mean_and_variance_are_those_of_counted_quanta(signal, quanta, read):
    noisy = draw(signal, quanta, read)
    assert noisy.dtype == np.float32
    expected = (quanta * signal / LIMIT + read**2) * (LIMIT / quanta) ** 2
    assert noisy.var() == pytest.approx(expected, rel=0.015)
    assert noisy.mean() == pytest.approx(signal, abs=5 * np.sqrt(expected) / SIDE)


def test_few_quanta_are_whole_numbers_not_a_bell():
    """Skewness of a Poisson count is 1/sqrt(N)."""
    noisy = draw(LIMIT * 4 / 200, 200).astype(np.float64)
    skew = (((noisy - noisy.mean()) / noisy.std()) ** 3).mean()
    assert skew == pytest.approx(0.5, abs=0.03)


def test_the_noise_power_spectrum_is_the_scintillators_response_squared():
    """NPS = N MTF(f)^2 + read^2, MTF = exp(-2 (pi blur f)^2): read-out noise is white."""
    quanta, blur, read = 1000.0, 0.9, 8.0
    noise = (draw(LIMIT, quanta, read, blur).astype(np.float64) - LIMIT) * quanta / LIMIT
    spectrum = np.square(np.abs(np.fft.fft2(noise))) / noise.size
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE)))
    theory = quanta * np.exp(-4 * (np.pi * blur * f) ** 2) + read**2
    for low in (0.02, 0.1, 0.2, 0.3, 0.4):
        band = (f > low) & (f < low + 0.05)
        assert spectrum[band].mean() == pytest.approx(theory[band].mean(), rel=0.05), low


def test_nothing_arrives_where_nothing_is_seen():
    assert (draw(0.0, 500) == 0).all()
