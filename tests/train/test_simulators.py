"""Whole images and patches are degraded to the level that is asked for."""

import msgspec
import numpy as np
import pytest

from scanside.runtime.cubic import double
from scanside.train.bank import phantom_slices
from scanside.train.data.slice import Slice
from scanside.train.recipe import Lesions
from scanside.train.recipes import load_recipe
from scanside.train.simulators import simulator_of

SIDE = 128


def recipe_of(name: str):
    return msgspec.structs.replace(load_recipe(name), phantom_side=SIDE)


def flat(value: int, dtype: type = np.uint16, bits: int = 12) -> Slice:
    return Slice(np.full((SIDE, SIDE), value, dtype), 1.0, bits)


def test_ct_gets_its_hu_in_soft_tissue():
    recipe = recipe_of("denoise-ct")
    piece = flat(40, np.int16, 16)
    noisy = simulator_of(recipe).whole(piece, 30.0, np.random.default_rng(0))
    middle = np.s_[32:96, 32:96]
    assert (noisy.astype(float) - 40)[middle].std() == pytest.approx(30, rel=0.15)


def test_ct_that_is_not_square_keeps_its_shape():
    piece = Slice(np.full((100, SIDE), 40, np.int16), 1.0)
    simulator = simulator_of(recipe_of("denoise-ct"))
    assert simulator.whole(piece, 20.0, np.random.default_rng(0)).shape == (100, SIDE)
    entry = simulator.prepare(piece, np.random.default_rng(0))
    assert simulator.draw(entry, np.random.default_rng(0), 64).clean.shape == (64, 64)


def test_noise_does_not_turn_tissue_into_padding():
    values = np.full((SIDE, SIDE), -60, np.int16)
    values[:8] = -100
    piece = Slice(values, 1.0, 16, padding=(-110, -90))
    noisy = simulator_of(recipe_of("denoise-ct")).whole(piece, 40.0, np.random.default_rng(0))
    assert (noisy[:8] == -100).all()
    assert not ((noisy[8:] >= -110) & (noisy[8:] <= -90)).any()


def test_mr_gets_its_percent_of_the_99th_percentile():
    noisy = simulator_of(recipe_of("denoise-mr")).whole(flat(1000), 5.0, np.random.default_rng(0))
    assert noisy.astype(float).std() == pytest.approx(50, rel=0.03)


def test_radiographs_are_noisiest_where_they_are_bright():
    """Bright is dense: few quanta arrive."""
    simulator = simulator_of(recipe_of("denoise-xray"))
    dark, bright = (
        simulator.whole(flat(value), 1000.0, np.random.default_rng(0)).astype(float).std() / blank
        for value, blank in ((400, 3695 / 4095), (3600, 495 / 4095))
    )
    assert bright > dark
    # Poisson: variance over the signal's share of the quanta is the same.
    assert bright**2 * 495 / 4095 == pytest.approx(dark**2 * 3695 / 4095, rel=0.1)


def test_more_looks_are_less_speckle():
    simulator = simulator_of(recipe_of("denoise-us"))
    one, many = (
        simulator.whole(flat(128, bits=8), looks, np.random.default_rng(0)).astype(float).std()
        for looks in (1.0, 16.0)
    )
    assert one > 3 * many


@pytest.mark.parametrize("name", ["sr-ct", "sr-mr"])
def test_coarse_patches_are_the_coarse_image(name):
    """A patch's base is the whole image's cubic: its edges are no image's edges."""
    recipe = msgspec.structs.replace(recipe_of(name))
    noise = msgspec.structs.replace(recipe.degradation, percent=(0.0, 0.0))
    simulator = simulator_of(msgspec.structs.replace(recipe, degradation=noise))
    (piece,) = phantom_slices(recipe, 1, 0)
    entry = simulator.prepare(piece, np.random.default_rng(0))
    whole = double(np.clip(np.rint(entry.coarse), *entry.limits).astype(np.float32))
    draw = simulator.draw(entry, np.random.default_rng(3), 64)
    assert draw.degraded.shape == (32, 32)
    places = np.argwhere(
        (np.lib.stride_tricks.sliding_window_view(entry.clean, (64, 64)) == draw.clean).all((2, 3))
    )
    assert any(np.allclose(whole[r : r + 64, c : c + 64], draw.base, atol=0.01) for r, c in places)


def test_a_coarse_image_lies_where_the_fine_one_does():
    """No half-pixel shift: the trap that fakes a gain over bicubic."""
    recipe = recipe_of("sr-mr")
    y, x = np.mgrid[:SIDE, :SIDE]
    blob = 2000 * np.exp(-((y - 70.5) ** 2 + (x - 51.5) ** 2) / 200)
    piece = Slice(blob.round().astype(np.uint16), 1.0, 12)
    base = double(simulator_of(recipe).whole(piece, 0.0, np.random.default_rng(0)).astype("f4"))
    for axis, centre in ((y, 70.5), (x, 51.5)):
        assert (base * axis).sum() / base.sum() == pytest.approx(centre, abs=0.05)


@pytest.mark.parametrize("name", ["denoise-ct", "denoise-mr"])
def test_lesions_are_in_the_clean_patch_and_under_the_noise(name):
    recipe = recipe_of(name)
    simulator = simulator_of(recipe)
    value = np.int16(40) if "ct" in name else np.uint16(1000)
    values = np.full((SIDE, SIDE), value)
    values[:20] = values.min() if "ct" in name else 0
    entry = simulator.prepare(Slice(values, 1.0, 12), np.random.default_rng(0))
    spec = Lesions(per_patch=(4, 4), radius=(6, 8), percent=(8, 10))
    draw = simulator.draw(entry, np.random.default_rng(1), 96, spec)
    plain = simulator.draw(entry, np.random.default_rng(1), 96)
    added = draw.clean - entry.strength * 0 - np.where(plain.clean == plain.clean.max(), value, 0)
    assert 5 < np.abs(added[draw.clean > entry.floor]).max() < 400
    assert np.corrcoef(draw.degraded.ravel(), draw.clean.ravel())[0, 1] > 0.1


def test_padding_is_not_in_k_space():
    """A scanner pads what it has reconstructed: the edge of the padding must not ring."""
    recipe = load_recipe("sr-ct")
    simulator = simulator_of(recipe)
    values = np.full((64, 64), 40, np.int16)
    values[:, 41:] = -1500
    piece = Slice(values, 0.5, 16, (-1500, -1500))
    coarse = simulator.whole(piece, 0.0, np.random.default_rng(0))
    assert (np.abs(coarse[:, :19] - 40) <= 1).all()  # two pixels off the far edge, where 40 ends
    assert (coarse[:, :20] != -1500).all()
    assert (coarse[:, 21:] == -1500).all()
    entry = simulator.prepare(piece, np.random.default_rng(0))
    assert entry.clean.min() > -1500
