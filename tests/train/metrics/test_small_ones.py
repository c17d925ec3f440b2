"""Bias, noise power, gradient similarity, Dice and the body's mask, against NumPy and by hand."""

import numpy as np
import pytest
from scipy import ndimage

from scanside.train.metrics.bias import block_bias, mean_bias
from scanside.train.metrics.case import range_words, ruler
from scanside.train.metrics.dice import dice, dice_before_after, threshold_segmenter
from scanside.train.metrics.gmsd import gmsd
from scanside.train.metrics.mask import body
from scanside.train.metrics.nps import noise_power, noise_power_spectrum

RNG = np.random.default_rng(0)
INSIDE = np.ones((64, 64), bool)
CT = ruler("CT", np.zeros((2, 2), np.int16), (-32768, 32767))


def test_bias_is_a_mean_and_blocks_see_what_cancels():
    clean = RNG.integers(0, 100, (64, 64)).astype(np.int16)
    moved = clean.copy()
    moved[:32] += 3
    moved[32:] -= 3
    assert mean_bias(moved, clean, INSIDE) == 0
    assert block_bias(moved, clean, INSIDE) == pytest.approx(3)
    inside = INSIDE.copy()
    inside[40] = False  # both lower blocks are no longer whole
    assert block_bias(moved, clean, inside) == pytest.approx(3)
    assert mean_bias(moved, clean, INSIDE & (np.arange(64) < 32)[:, None]) == pytest.approx(3)
    assert np.isnan(block_bias(moved, clean, ~INSIDE))


def test_bias_of_unsigned_words_does_not_wrap():
    clean, darker = np.full((64, 64), 10, np.uint16), np.full((64, 64), 4, np.uint16)
    assert mean_bias(darker, clean, INSIDE) == -6


def test_the_noise_power_integrates_to_the_variance():
    rois = RNG.normal(0, 30, (64, 32, 32))
    power = noise_power(rois, 0.7)
    area = (1 / (32 * 0.7)) ** 2  # of one line in frequency
    assert power.sum() * area == pytest.approx(900, rel=0.03)
    spectrum = noise_power_spectrum(rois, 0.7)
    assert spectrum.power == pytest.approx(np.full(16, 900 * 0.7**2), rel=0.4)
    assert spectrum.frequency[-1] == pytest.approx(0.5 / 0.7)


def test_blurred_noise_is_coarser():
    fine = RNG.normal(0, 30, (32, 32, 32))
    coarse = ndimage.gaussian_filter(fine, (0, 1.5, 1.5), mode="wrap")
    frequencies = [noise_power_spectrum(one, 1.0).mean_frequency for one in (fine, coarse)]
    assert frequencies[1] < 0.6 * frequencies[0]


def test_gmsd_is_zero_for_equal_images_and_follows_the_paper():
    truth = ndimage.gaussian_filter(RNG.normal(0, 600, (64, 64)), 2)
    other = ndimage.gaussian_filter(truth, 1)
    assert gmsd(truth, truth, INSIDE, CT) == 0

    def gradient(image):
        unit = image / 4095
        kernel = np.array([[1, 0, -1]] * 3) / 3
        rows, columns = (ndimage.convolve(unit, one) for one in (kernel, kernel.T))
        return np.sqrt(rows**2 + columns**2)

    a, b, c = gradient(truth), gradient(other), 0.0026
    similarity = (2 * a * b + c) / (a**2 + b**2 + c)
    assert gmsd(other, truth, INSIDE, CT) == pytest.approx(similarity.std(), rel=0.02)
    invented = truth + 200 * (RNG.random(truth.shape) > 0.9)
    assert gmsd(invented, truth, INSIDE, CT) > gmsd(other, truth, INSIDE, CT)


def test_dice_by_hand():
    one, other = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    one[:4], other[2:6] = True, True
    assert dice(one, other) == pytest.approx(0.5)
    assert dice(one, one) == 1
    assert dice(~one & one, ~one & one) == 1
    assert dice(one, ~one) == 0


def test_enhancement_that_helps_raises_dice():
    clean = np.zeros((64, 64))
    clean[20:40, 20:40] = 600
    noisy = clean + RNG.normal(0, 200, clean.shape)
    bone = threshold_segmenter(300, np.inf)
    found = dice_before_after(clean, noisy, ndimage.gaussian_filter(noisy, 1), bone)
    assert found.before < found.after


def test_the_body_is_found_without_a_scale():
    image = RNG.rayleigh(5, (128, 128))
    y, x = np.mgrid[:128, :128]
    head = np.hypot(y - 60, x - 64) < 40
    image[head] += 200
    image[np.hypot(y - 60, x - 64) < 10] = 3  # a sinus belongs to the head
    image[2:6, 2:6] = 500  # and an artefact does not
    found = body(image)
    assert dice(found, head) > 0.92
    assert found[60, 64]
    assert not found[4, 4]
    assert body(np.zeros((16, 16))).all()


def test_rulers_say_what_they_are_over():
    clean = np.arange(10000).reshape(100, 100).astype(np.uint16) % 1001
    assert CT.data_range == 4095
    assert ruler("MR", clean, (0, 4095)).data_range == pytest.approx(np.percentile(clean, 99))
    assert ruler("US", clean, (0, 255)).data_range == 255
    assert "4095 HU" in range_words("CT")
    assert "99th percentile" in range_words("MR")
