"""What training draws is what the device would see, and the same for the same step."""

import msgspec
import numpy as np
import pytest
import torch

from scanside.runtime.intensity import FrameMap
from scanside.train.bank import make_bank, phantom_slices
from scanside.train.entry import facts_of
from scanside.train.recipes import load_recipe
from scanside.train.sampler import Batch, Sampler
from scanside.train.simulators import simulator_of

RECIPES = ("quick-ct", "denoise-mr", "denoise-xray", "denoise-us", "sr-ct", "sr-mr")


def recipe_of(name: str):
    return msgspec.structs.replace(load_recipe(name), phantom_side=128, crop=64, batch=4)


@pytest.fixture(scope="module", params=RECIPES)
def drawn(request):
    recipe = recipe_of(request.param)
    slices = phantom_slices(recipe, 3, 0)
    return recipe, slices, make_bank(recipe, slices)


def test_a_step_gives_the_same_batch_every_time(drawn):
    recipe, _, entries = drawn
    sampler = Sampler(recipe, entries)
    first, again = sampler.batch(0, 7), Sampler(recipe, entries).batch(0, 7)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.image, sampler.batch(0, 8).image)
    assert not torch.equal(first.image, sampler.batch(1, 7).image)


def test_shapes_types_and_ranges(drawn):
    recipe, _, entries = drawn
    batch = Sampler(recipe, entries).batch(0, 0)
    small = recipe.crop // recipe.scale
    assert batch.image.shape == (recipe.batch, 1, small, small)
    assert batch.error.shape == batch.weight.shape == batch.clean.shape
    assert batch.error.shape == (recipe.batch, recipe.crop, recipe.crop)
    assert all(one.dtype == torch.float32 and torch.isfinite(one).all() for one in batch)
    assert 0 <= batch.image.min() < batch.image.max() <= 1
    assert 0 <= batch.weight.min() <= batch.weight.max() <= 1


@pytest.mark.parametrize("name", ["quick-ct", "denoise-mr", "denoise-us"])
def test_pairs_differ_in_their_lesions_alone(name):
    recipe = msgspec.structs.replace(recipe_of(name), loss="l2 and contrast")
    entries = make_bank(recipe, phantom_slices(recipe, 2, 0))
    batch = Sampler(recipe, entries).batch(0, 0)
    with_lesions, plain = (Batch(*(one[first::2] for one in batch)) for first in (0, 1))
    lesions = with_lesions.clean - plain.clean
    assert (lesions.abs().amax((1, 2)) > 0.005).all()
    assert torch.equal(with_lesions.emphasis, plain.emphasis)
    if name == "quick-ct":  # there noise does not depend on the image; to the rounding of words
        assert (with_lesions.error - plain.error).abs().max() < 1.01 / 2640
    elsewhere = lesions.abs() < 1e-7
    assert torch.equal(with_lesions.error[elsewhere], plain.error[elsewhere])


def test_the_loss_of_doing_nothing_is_about_one(drawn):
    """The emphasis makes modalities and levels alike: learning rates carry over."""
    recipe, _, entries = drawn
    sampler = Sampler(recipe, entries)
    batches = [sampler.batch(0, step) for step in range(12)]
    losses = [float((one.error.square() * one.emphasis).mean()) for one in batches]
    assert 0.1 < np.mean(losses) < 10


def test_image_minus_error_is_clean(drawn):
    recipe, _, entries = drawn
    batch = Sampler(recipe, entries).batch(0, 0)
    # At 2x the error belongs to the cubic, so the image is compared where it is coarse.
    image = batch.image[:, 0]
    if recipe.scale == 2:
        image = image.repeat_interleave(2, 1).repeat_interleave(2, 2)
        assert (image - batch.error - batch.clean).abs().median() < 0.02
        return
    unclipped = (image > 0) & (image < 1)
    assert (image - batch.error - batch.clean)[unclipped].abs().max() < 1e-5


def test_the_unit_range_is_the_devices(drawn):
    """What the bank interpolates for a level, against the device's own map of a whole frame."""
    recipe, slices, entries = drawn
    simulator = simulator_of(recipe)
    level = float(np.mean(entries[0].levels)) or recipe.heldout_levels[0]
    words = simulator.whole(slices[0], level, np.random.default_rng(1))
    found = FrameMap(words, facts_of(slices[0], recipe.modality[0]), recipe.intensity).range
    ours = entries[0].unit_range(level)
    assert ours.zero == pytest.approx(found.zero, abs=0.03 * found.span)
    assert ours.span == pytest.approx(found.span, rel=0.05)


def test_files_get_their_share():
    recipe = msgspec.structs.replace(recipe_of("quick-ct"), lesions=None, loss="l2")
    entries = make_bank(recipe, phantom_slices(recipe, 3, 0))
    marked = [entry._replace(clean=np.full_like(entry.clean, 40)) for entry in entries]
    sampler = Sampler(recipe, [*entries, *marked], files=3)
    flat = [bool(one.std() < 1e-6) for step in range(40) for one in sampler.batch(0, step).clean]
    assert 0.35 < np.mean(flat) < 0.65
