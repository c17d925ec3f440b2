"""MTF50 against the theory of a Gaussian edge; noise must not move it."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import erf

from scanside.train.metrics.sharpness import edge_spread, find_edges, mtf50, mtf50_ratio

SIDE = 192
INSIDE = np.ones((SIDE, SIDE), bool)


def edges_of_bone(sigma: float) -> np.ndarray:
    """A disc of 1000 HU on 0, its edge blurred by a Gaussian: slanted every way."""
    y, x = np.mgrid[:SIDE, :SIDE]
    distance = 60.3 - np.hypot(y - 95.2, x - 96.7)
    return 500 * (1 + erf(distance / sigma / np.sqrt(2)))


@pytest.mark.parametrize("sigma", [0.8, 1.2, 1.6])
def test_mtf50_of_a_gaussian_edge(sigma):
    image = edges_of_bone(sigma)
    found = find_edges(image, INSIDE)
    # exp(-2 (pi sigma f)^2) = 1/2
    theory = np.sqrt(np.log(2) / 2) / (np.pi * sigma)
    assert mtf50(image, found) == pytest.approx(theory, rel=0.06)


def test_blur_is_seen_and_noise_is_not():
    clean = edges_of_bone(0.8)
    found = find_edges(clean, INSIDE)
    blurred = ndimage.gaussian_filter(clean, 0.8)
    assert mtf50_ratio(blurred, clean, found) == pytest.approx(1 / np.sqrt(2), rel=0.06)
    noisy = clean + np.random.default_rng(0).normal(0, 40, clean.shape)
    assert mtf50_ratio(noisy, clean, found) == pytest.approx(1, abs=0.03)


def test_edges_keep_away_from_the_border_and_point_uphill():
    clean = edges_of_bone(0.8)
    found = find_edges(clean, INSIDE, count=50)
    assert len(found.centre) == 50
    assert np.allclose(np.linalg.norm(found.normal, axis=1), 1)
    assert found.centre.min() > 5
    spread = edge_spread(clean, found)
    assert spread[0] < 50
    assert spread[-1] > 950
