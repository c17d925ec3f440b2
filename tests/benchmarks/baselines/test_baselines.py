"""Classical methods do what they are known for, and their strength is searched, not assumed."""

import numpy as np
import pytest
from scipy import ndimage

from scanside.benchmarks.baselines.denoise import denoisers, nlm, wavelets, with_rician_inverse
from scanside.benchmarks.baselines.interpolate import INTERPOLATIONS
from scanside.benchmarks.baselines.search import best_strength
from scanside.train.degradations.kspace import truncate
from scanside.train.degradations.rician import rician

RNG = np.random.default_rng(0)


def scene() -> np.ndarray:
    y, x = np.mgrid[:96, :96]
    return (40 + 60 * (np.hypot(y - 40, x - 50) < 20) - 100 * (x > 80)).astype(np.float32)


def error(image: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.square(image - truth).mean()))


@pytest.mark.parametrize("method", [nlm, wavelets])
def test_less_noise_and_the_same_units(method):
    clean = scene()
    noisy = clean + RNG.normal(0, 20, clean.shape).astype(np.float32)
    strength, _ = best_strength(lambda s: -error(method(noisy, s), clean), 5, 60)
    denoised = method(noisy, strength)
    assert denoised.dtype == np.float32
    assert error(denoised, clean) < 0.6 * error(noisy, clean)
    assert denoised.mean() == pytest.approx(clean.mean(), abs=1)


def test_the_search_finds_a_peak_on_a_scale_of_factors():
    strength, score = best_strength(lambda s: -((np.log(s) - np.log(7)) ** 2), 1, 100, 20)
    assert strength == pytest.approx(7, rel=0.1)
    assert score == pytest.approx(0, abs=0.01)


def test_correlated_noise_wants_more_than_its_nominal_strength():
    clean = scene()
    noise = ndimage.gaussian_filter(RNG.normal(0, 1, clean.shape), 1)
    noisy = (clean + 20 * noise / noise.std()).astype(np.float32)

    def score(strength: float) -> float:
        return -error(nlm(noisy, strength), clean)

    strength, best = best_strength(score, 5, 200, 12)
    assert strength > 20
    assert best > score(20)


def test_the_rician_inverse_takes_the_noise_floor_out():
    clean = np.where(scene() > 0, scene() * 10, 0).astype(np.float32)
    noisy = rician(clean, 100.0, RNG)
    plain, inverted = nlm(noisy, 80.0), with_rician_inverse(nlm, 100.0)(noisy, 80.0)
    dark = np.zeros(clean.shape, bool)
    dark[:, 86:] = True
    assert plain[dark].mean() > 100
    assert inverted[dark].mean() < 40


def test_bm3d_is_offered_only_where_it_is_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "BM3D" not in denoisers()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert "BM3D" in denoisers()


@pytest.mark.parametrize("name", list(INTERPOLATIONS))
def test_interpolations_lie_on_the_same_grid(name):
    y, x = np.mgrid[:64, :64]
    fine = (1000 * np.exp(-((y - 30.5) ** 2 + (x - 25.2) ** 2) / 60)).astype(np.float32)
    doubled = INTERPOLATIONS[name](truncate(fine))
    assert doubled.shape == fine.shape
    for axis, centre in ((y, 30.5), (x, 25.2)):
        assert (doubled * axis).sum() / doubled.sum() == pytest.approx(centre, abs=0.02)
    assert np.abs(doubled - fine).max() < 10
