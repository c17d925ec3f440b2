"""What training draws is what the device would see, and the same for the same step."""

import numpy as np
import pytest
import torch

from scanside.runtime.intensity import window_range
from scanside.train.bank import Sampler, digest, load_bank, make_bank, phantom_slices, save_bank
from scanside.train.images import bundled_ct
from tiny import TINY


@pytest.fixture(scope="module")
def entries():
    return make_bank(TINY, phantom_slices(TINY, 3, 0) + bundled_ct())


def test_a_step_gives_the_same_batch_every_time(entries):
    sampler = Sampler(TINY, entries)
    first, again = sampler.batch(0, 7), Sampler(TINY, entries).batch(0, 7)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.image, sampler.batch(0, 8).image)
    assert not torch.equal(first.image, sampler.batch(1, 7).image)


def test_image_minus_noise_is_clean_hu(entries):
    batch = Sampler(TINY, entries).batch(0, 0)
    span = window_range(TINY.window)
    assert batch.image.shape == (TINY.batch, 1, TINY.crop, TINY.crop)
    noisy = batch.image[:, 0].numpy() * span.span + span.zero
    clean = noisy - batch.noise.numpy()
    unclipped = (batch.image[:, 0].numpy() > 0) & (batch.image[:, 0].numpy() < 1)
    # The bank's clean slices are whole HU.
    assert np.abs(clean - clean.round())[unclipped].max() < 0.01


def test_noise_has_the_drawn_deviation(entries):
    sigmas, ratios = [], []
    for step in range(30):
        batch = Sampler(TINY, entries).batch(0, step)
        sigmas += batch.sigma.flatten().tolist()
        ratios += (batch.noise.flatten(1).std(1) / batch.sigma.flatten()).tolist()
    low, high = TINY.noise.sigma_hu
    assert low <= min(sigmas) < max(sigmas) <= high
    assert 0.5 < np.median(ratios) < 1.5  # less in air, more in bone than in soft tissue


def test_the_bank_survives_the_disk(entries, tmp_path):
    save_bank(tmp_path / "bank.npz", entries)
    back = load_bank(tmp_path / "bank.npz")
    assert all(np.array_equal(a.clean, b.clean) for a, b in zip(entries, back, strict=True))
    assert all(np.array_equal(a.noise, b.noise) for a, b in zip(entries, back, strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["bank.npz"]


def test_the_digest_tells_images_and_their_geometry_apart():
    slices = phantom_slices(TINY, 2, 0)
    assert digest(slices) == digest(phantom_slices(TINY, 2, 0))
    assert digest(slices[1:]) != digest(slices)
    assert digest([slices[0]._replace(padding=(-2000, -2000)), slices[1]]) != digest(slices)


def test_training_and_held_out_phantoms_differ():
    training, held = phantom_slices(TINY, 2, 0), phantom_slices(TINY, 2, 1)
    assert not any(np.array_equal(a.hu, b.hu) for a in training for b in held)
