"""Speckle against Burckhardt (1978): its contrast, its decibels, its grain."""

import numpy as np
import pytest

from scanside.train.degradations.speckle import look_weights, speckle

LIMIT = 255.0
RANGE_DB = 120.0  # wide, so that clipping changes nothing that is measured here
SIDE = 512


def decibels(looks: float, grain: tuple[float, float] = (1.2, 0.8)) -> np.ndarray:
    """What speckle adds to a flat image."""
    flat = np.full((SIDE, SIDE), LIMIT * 0.7, np.float32)
    shown = speckle(flat, LIMIT, looks, grain, RANGE_DB, np.random.default_rng(3))
    assert shown.dtype == np.float32
    return (shown.astype(np.float64) - flat) * RANGE_DB / LIMIT


@pytest.mark.parametrize("looks", [1.0, 1.3, 2.0, 3.5, 8.0, 16.0])
def test_intensity_has_mean_one_and_the_contrast_of_its_looks(looks):
    intensity = 10 ** (decibels(looks) / 10)
    assert intensity.mean() == pytest.approx(1, abs=0.02)
    assert intensity.std() / intensity.mean() == pytest.approx(1 / np.sqrt(looks), rel=0.03)


def test_one_look_is_rayleigh():
    """5.57 dB is 10 / ln 10 times pi / sqrt 6; a Rayleigh amplitude has std / mean = 0.523."""
    found = decibels(1.0)
    assert found.std() == pytest.approx(10 / np.log(10) * np.pi / np.sqrt(6), rel=0.02)
    amplitude = 10 ** (found / 20)
    assert amplitude.std() / amplitude.mean() == pytest.approx(0.5227, rel=0.02)


@pytest.mark.parametrize("looks", [1.0, 1.01, 1.5, 2.0, 2.7, 5.0, 15.2])
def test_weights_average_to_the_looks_asked_for(looks):
    weights = look_weights(looks).astype(np.float64)
    assert len(weights) == int(np.ceil(looks))
    assert (weights > 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-6)
    assert np.square(weights).sum() == pytest.approx(1 / looks, rel=1e-5)


@pytest.mark.parametrize("grain", [(1.0, 1.0), (2.0, 1.0), (0.8, 1.6)])
def test_the_grain_has_the_shape_of_the_point_spread(grain):
    """A complex field through a Gaussian of deviation s correlates as exp(-d^2 / 4 s^2), its
    intensity as the square of that."""
    intensity = 10 ** (decibels(1.0, grain) / 10)
    centred = (intensity - intensity.mean()) / intensity.std()
    for axis, deviation in ((1, grain[0]), (0, grain[1])):
        for lag in (1, 2, 3):
            found = (centred * np.roll(centred, lag, axis)).mean()
            assert found == pytest.approx(np.exp(-(lag**2) / (2 * deviation**2)), abs=0.03)


def test_the_dynamic_range_sets_what_a_decibel_weighs_and_the_range_is_kept():
    flat = np.full((64, 64), 200, np.float32)
    wide, narrow = (
        speckle(flat, LIMIT, 16, (1, 1), db, np.random.default_rng(0)) - flat for db in (80, 40)
    )
    assert narrow[narrow < 50] == pytest.approx(2 * wide[narrow < 50], abs=1e-3)
    edge = speckle(
        np.full((64, 64), 250, np.float32), LIMIT, 1, (1, 1), 40, np.random.default_rng(0)
    )
    assert edge.max() == LIMIT
    assert edge.min() >= 0
