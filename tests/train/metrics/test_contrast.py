"""Contrast recovery: 1 for whoever changes nothing, less for whoever blurs."""

import numpy as np
import pytest
from scipy import ndimage

from scanside.runtime.errors import NoImagesError
from scanside.train.metrics.contrast import choose_centre, contrast_recovery, disc

CLEAN = np.full((96, 96), 40, np.float32)
RNG = np.random.default_rng(0)
NOISES = [RNG.normal(0, 30, (96, 96)).astype(np.float32) for _ in range(8)]


def recovery(enhance, radius: float = 8):
    return contrast_recovery(enhance, CLEAN, NOISES, (48, 48), radius, 40.0)


def test_an_identity_keeps_all_of_it():
    found = recovery(lambda image: image)
    assert found.mean == pytest.approx(1, abs=1e-5)
    assert found.high - found.low < 1e-5
    assert found.draws == len(NOISES)


def test_who_erases_keeps_nothing_and_a_share_is_a_share():
    assert recovery(lambda image: np.zeros_like(image)).mean == 0
    assert recovery(lambda image: 0.3 * image).mean == pytest.approx(0.3, abs=1e-5)


def test_a_blur_costs_small_discs_more():
    """The mean over the core of a blurred disc, computed without noise: it is linear."""

    def blur(image):
        return ndimage.gaussian_filter(image, 3.0)

    large, small = recovery(blur).mean, recovery(blur, radius=3).mean
    whole = disc(CLEAN.shape, (48, 48), 3)
    expected = blur(whole)[whole >= 0.5].mean() / whole[whole >= 0.5].mean()
    assert small == pytest.approx(expected, rel=1e-3)
    assert small < 0.5 < large


def test_the_interval_widens_with_what_the_draws_disagree_about():
    shares = iter([0.2, 0.9] * len(NOISES) * 2)
    scale = {"now": 1.0}

    def fickle(image):
        if image[48, 48] > 60:
            scale["now"] = next(shares)
        return scale["now"] * image

    found = contrast_recovery(fickle, CLEAN, [0 * NOISES[0]] * 8, (48, 48), 8, 40.0)
    assert found.low < found.mean < found.high
    assert found.high - found.low > 0.2


def test_the_flattest_spot_of_soft_tissue_is_chosen():
    clean = np.full((128, 128), 300, np.int16)
    clean[10:60, 10:60] = 40 + RNG.normal(0, 20, (50, 50))
    clean[64:120, 64:120] = 45
    inside = np.ones(clean.shape, bool)
    row, column = choose_centre(clean, inside, 8)
    assert 72 <= row <= 112
    assert 72 <= column <= 112
    with pytest.raises(NoImagesError, match="no flat soft tissue"):
        choose_centre(np.full((128, 128), 900, np.int16), inside, 8)
