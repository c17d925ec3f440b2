"""MTF50 against the theory of a Gaussian edge."""

import math

import numpy as np
import pytest
from scipy.special import erf

from scanside.runtime.errors import TrainingError
from scanside.train.metrics.sharpness import find_edges, mtf50, mtf50_ratio

SIDE = 160
INSIDE = np.ones((SIDE, SIDE), bool)
Y, X = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2


def step(distance: np.ndarray, blur: float) -> np.ndarray:
    """-1000 HU to 40 HU at distance 0, under a Gaussian blur."""
    return -1000 + 1040 * 0.5 * (1 + erf(distance / (blur * math.sqrt(2))))


def disc(blur: float) -> np.ndarray:
    return step(50.3 - np.hypot(Y, X), blur)


def theory(blur: float) -> float:
    return math.sqrt(math.log(2) / 2) / (math.pi * blur)


@pytest.mark.parametrize("blur", [0.7, 0.9, 1.2])
def test_a_gaussian_blur_has_its_theoretical_mtf50(blur):
    image = disc(blur)
    assert mtf50(image, find_edges(image, INSIDE)) == pytest.approx(theory(blur), rel=0.004)


@pytest.mark.parametrize("degrees", [5, 20, 45, 85])
def test_the_direction_of_an_edge_does_not_matter(degrees):
    angle = math.radians(degrees)
    image = step(X * math.cos(angle) + Y * math.sin(angle) - 0.3, 0.8)
    assert mtf50(image, find_edges(image, INSIDE)) == pytest.approx(theory(0.8), rel=0.015)


@pytest.mark.parametrize("more", [0.3, 0.5, 0.7])
def test_more_blur_is_its_ratio(more):
    clean, blurred = disc(0.8), disc(math.hypot(0.8, more))
    found = mtf50_ratio(blurred, clean, find_edges(clean, INSIDE))
    assert found == pytest.approx(0.8 / math.hypot(0.8, more), rel=0.015)


def test_noise_is_not_sharpness():
    clean = disc(0.8)
    edges = find_edges(clean, INSIDE)
    noise = np.random.default_rng(0).normal(0, 40, (12, SIDE, SIDE))
    assert np.mean([mtf50_ratio(clean + one, clean, edges) for one in noise]) == pytest.approx(
        1, abs=0.01
    )


def test_a_thin_wall_beside_an_edge_is_left_out():
    """Its two edges would pass for one that is sharper than either, and hide blur."""
    radius = np.hypot(Y, X)
    wall = 800 * np.exp(-(((radius - 30) / 1.5) ** 2))
    clean, blurred = disc(0.8) + wall, disc(math.hypot(0.8, 0.5)) + wall
    edges = find_edges(clean, INSIDE)
    away = np.hypot(*(edges.centre - (SIDE - 1) / 2).T)
    assert np.abs(away - 50.3).max() < 0.2
    assert mtf50_ratio(blurred, clean, edges) == pytest.approx(0.848, abs=0.015)


def test_a_flat_image_has_no_edges():
    with pytest.raises(TrainingError, match="strong edges"):
        find_edges(np.zeros((SIDE, SIDE)), INSIDE)
