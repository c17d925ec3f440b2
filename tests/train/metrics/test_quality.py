"""Figures of quality against NumPy in float64."""

import numpy as np
import pytest

from scanside.train.metrics.case import ruler
from scanside.train.metrics.quality import psnr, ssim

RNG = np.random.default_rng(0)
INSIDE = np.ones((48, 48), bool)
CT = ruler("CT", np.zeros((2, 2), np.int16), (-32768, 32767))


def image(spread: float = 150) -> np.ndarray:
    return RNG.normal(0, spread, (48, 48)).round().astype(np.int16)


def test_psnr_is_the_textbook_formula():
    truth, other = image(), image()
    error = np.mean((truth.astype(np.float64) - other) ** 2)
    assert psnr(other, truth, INSIDE, CT) == pytest.approx(10 * np.log10(4095**2 / error))


def test_psnr_looks_inside_only():
    truth = image()
    other = truth.copy()
    other[:8] += 500
    inside = INSIDE.copy()
    inside[:8] = False
    assert psnr(other, truth, inside, CT) == np.inf
    assert psnr(other, truth, INSIDE, CT) < 40


def test_both_images_are_clipped_alike():
    truth = np.full((48, 48), -1024, np.int16)
    below = np.full((48, 48), -2000, np.int16)
    assert psnr(below, truth, INSIDE, CT) == np.inf
    assert psnr(truth, below, INSIDE, CT) == np.inf


def test_int16_differences_do_not_wrap():
    low, high = np.full((48, 48), -1000, np.int16), np.full((48, 48), 3000, np.int16)
    assert psnr(low, high, INSIDE, CT) == pytest.approx(20 * np.log10(4095 / 4000))


def test_ssim_is_one_for_equal_images_and_follows_wang():
    truth = image()
    other = (truth + image(60)).astype(np.int16)
    assert ssim(truth, truth, INSIDE, CT) == pytest.approx(1, abs=1e-5)
    assert ssim(other, truth, INSIDE, CT) == pytest.approx(_ssim(other, truth), abs=1e-3)


def _ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean SSIM in float64, windows that fit only."""
    a, b = (np.clip(one.astype(np.float64), -1024, 3071) for one in (a, b))
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    kernel = np.outer(taps, taps) / taps.sum() ** 2

    def smooth(x: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(x, (11, 11))
        return np.einsum("ijkl,kl->ij", windows, kernel)

    ma, mb = smooth(a), smooth(b)
    va, vb, ab = smooth(a * a) - ma**2, smooth(b * b) - mb**2, smooth(a * b) - ma * mb
    c1, c2 = (0.01 * 4095) ** 2, (0.03 * 4095) ** 2
    return float(
        (((2 * ma * mb + c1) * (2 * ab + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean()
    )
