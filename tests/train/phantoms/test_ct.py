"""Phantoms are what they say: anatomy-like, in HU, the same for the same seed."""

import numpy as np

from scanside.train.phantoms.ct import phantoms


def test_equal_seeds_give_equal_phantoms_and_others_do_not():
    first, again, other = phantoms(2, 96, 5), phantoms(2, 96, 5), phantoms(2, 96, 6)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_tissues_of_every_kind_occur():
    images = phantoms(24, 96, 0)
    assert images.dtype == np.float32
    assert images.min() >= -1024
    assert images.max() <= 3071
    for low, high in ((-1024, -950), (-930, -700), (-130, -60), (0, 80), (200, 600), (800, 3071)):
        found = ((images > low) & (images < high)).any(axis=(1, 2))
        assert found.sum() >= 3, (low, high)


def test_no_two_phantoms_are_alike():
    images = phantoms(12, 96, 1)
    for index, image in enumerate(images):
        for other in images[index + 1 :]:
            assert np.abs(image - other).mean() > 5
