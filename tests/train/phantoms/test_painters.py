"""What every kind of phantom keeps to, and what makes each its modality's."""

import subprocess
import sys

import numpy as np
import pytest

from scanside.train.phantoms import BITS, PAINTERS

SIDE = 128


def paint(kind: str, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([PAINTERS[kind](SIDE, rng) for _ in range(count)])


def test_every_kind_has_its_bits():
    assert set(PAINTERS) == set(BITS) == {"ct", "mr", "xray", "ultrasound"}


@pytest.mark.parametrize("kind", PAINTERS)
def test_images_fit_their_bits_and_come_back_with_their_seed(kind):
    first, again, other = paint(kind, 4), paint(kind, 4), paint(kind, 4, seed=1)
    assert first.dtype == np.float32
    assert first.shape == (4, SIDE, SIDE)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    half = 1 << (BITS[kind] - 1)
    low, high = (-half, half - 1) if kind == "ct" else (0, 2 * half - 1)
    assert low <= first.min()
    assert first.max() <= high
    assert (first.std((1, 2)) > 0.01 * (high - low if kind != "ct" else 4096) / 8).all()


@pytest.mark.parametrize("kind", PAINTERS)
@pytest.mark.parametrize("side", [64, 97])
def test_any_side_can_be_painted(kind, side):
    image = PAINTERS[kind](side, np.random.default_rng(2))
    assert image.shape == (side, side)
    assert np.isfinite(image).all()


def test_mr_is_dark_where_there_is_air_and_scaled_as_scanners_like():
    images = paint("mr", 24)
    strong = np.percentile(images, 99, axis=(1, 2))
    assert strong.min() > 200
    assert strong.max() < 2600
    assert strong.max() > 3 * strong.min()
    dark = (images < 0.02 * strong[:, None, None]).mean((1, 2))
    assert (dark > 0.1).sum() >= 8


def test_a_radiograph_is_bright_where_dense_and_uses_its_range():
    images = paint("xray", 12)
    low, high = np.percentile(images, [1, 99], axis=(1, 2))
    assert (high - low > 1500).all()


def test_ultrasound_is_black_outside_its_field_of_view_and_anechoic_somewhere():
    images = paint("ultrasound", 16)
    corners = images[:, 0, [0, -1]]
    assert (corners == 0).any(axis=1).sum() >= 4
    assert ((images == 0).mean((1, 2)) < 0.8).all()
    assert (np.percentile(images, 99, axis=(1, 2)) > 80).all()


def test_phantoms_need_no_torch():
    script = "import sys; import scanside.train.phantoms; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
