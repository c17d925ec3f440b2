"""Copies of an image: geometry, shading, padding, and chance from one generator alone."""

import numpy as np
import pytest
import torch

from scanside.train.data.augment import augment, bias_field
from scanside.train.data.slice import Slice
from scanside.train.recipe import Augmentation

SIDE = 65


def disc(centre, radius, shape=(SIDE, SIDE)):
    rows, columns = np.indices(shape)
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def centre_of(mask):
    return np.argwhere(mask).mean(axis=0)


def ct(shape=(SIDE, SIDE)):
    rng = np.random.default_rng(1)
    return Slice(rng.integers(-900, 200, shape).astype(np.int16), 0.7, 13, None, "p")


def test_the_first_copy_is_the_image_and_the_others_are_not():
    piece = ct((48, 80))
    copies = augment(piece, Augmentation(copies=3), np.random.default_rng(0))
    assert len(copies) == 3
    assert copies[0] is piece
    for one in copies[1:]:
        assert (one.values.shape, one.values.dtype) == (piece.values.shape, np.int16)
        assert (one.pixel_mm, one.bits, one.patient) == (0.7, 13, "p")
        assert (one.values != piece.values).mean() > 0.5
        assert piece.values.min() <= one.values.min()
        assert one.values.max() <= piece.values.max()


def test_no_copies_but_the_image():
    piece = ct()
    assert augment(piece, Augmentation(copies=1), np.random.default_rng(0)) == [piece]


def test_the_map_turns_and_magnifies_by_what_was_drawn():
    # A small disc 20 pixels above the centre goes round with the angle and out with the scale.
    middle = SIDE // 2
    values = np.where(disc((middle - 20, middle), 3), 1000, 0).astype(np.uint16)
    piece = Slice(values, 1.0, 12)
    settings = Augmentation(copies=2, degrees=20.0, scale=(0.8, 1.3))
    for seed in range(4):
        draw = np.random.default_rng(seed)
        angle, scale = np.radians(draw.uniform(-20, 20)), draw.uniform(0.8, 1.3)
        _, moved = augment(piece, settings, np.random.default_rng(seed))
        offset = centre_of(moved.values > 500) - middle
        expected = 20 * scale * np.array([-np.cos(angle), np.sin(angle)])
        distance = min(np.hypot(*(offset - expected * [1, sign])) for sign in (1, -1))
        assert distance < 0.3
        area = (moved.values > 500).sum() / (values > 500).sum()
        assert area == pytest.approx(scale**2, rel=0.15)


def test_no_angle_and_no_scale_change_nothing():
    piece = ct()
    settings = Augmentation(copies=2, degrees=0.0, scale=(1.0, 1.0))
    _, same = augment(piece, settings, np.random.default_rng(0))
    assert np.abs(same.values.astype(int) - piece.values).max() <= 1


def test_padding_stays_padding_and_fills_the_corners():
    field = disc((32, 32), 28)
    values = np.where(field, -1000, -3024).astype(np.int16)
    values[disc((32, 32), 12)] = 40
    piece = Slice(values, 0.7, 16, (-3024, -2000), "p")
    settings = Augmentation(copies=4, degrees=10.0)
    for one in augment(piece, settings, np.random.default_rng(3))[1:]:
        # No spline rang across the edge of the padding: all is flat air there.
        assert set(np.unique(one.values[~disc((32, 32), 22)])) == {-3024, -1000}
        assert (one.values[[0, 0, -1, -1], [0, -1, 0, -1]] == -3024).all()
        assert 0.75 < (one.values > -2000).sum() / field.sum() < 1.3
        assert one.padding == piece.padding


def test_corners_are_the_lowest_value_without_padding():
    piece = ct()
    settings = Augmentation(copies=2, degrees=0.0, scale=(0.5, 0.5))
    _, small = augment(piece, settings, np.random.default_rng(0))
    assert (small.values[:10] == piece.values.min()).all()


def test_chance_comes_from_the_generator_alone():
    settings = Augmentation(copies=3, bias_field=0.3)
    piece = ct()
    runs = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the old generator is what must not matter
        before = torch.get_rng_state()
        runs.append(augment(piece, settings, np.random.default_rng(5)))
        assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_the_bias_field_is_smooth_has_mean_one_and_the_strength():
    spans = []
    for seed in range(60):
        field = bias_field((40, 60), 0.3, np.random.default_rng(seed)).astype(float)
        assert field.mean() == pytest.approx(1, abs=1e-6)
        spans.append(np.abs(field - 1).max())
        # A cubic: its fourth differences are nothing, its third ones are constant.
        assert np.abs(np.diff(field, n=4, axis=0)).max() < 5e-6
        assert np.abs(np.diff(field, n=4, axis=1)).max() < 5e-6
        mixed = np.diff(np.diff(field, n=2, axis=0), n=2, axis=1)
        assert np.abs(mixed).max() < 5e-6
    # Drawn evenly from 0..0.3: mean 0.15, standard error 0.3 / sqrt(12 * 60).
    assert max(spans) <= 0.3
    assert np.mean(spans) == pytest.approx(0.15, abs=4 * 0.3 / np.sqrt(12 * 60))


def test_shading_multiplies_the_image():
    values = np.full((40, 40), 1000, np.uint16)
    values[0, 0] = 0
    settings = Augmentation(copies=2, degrees=0.0, scale=(1.0, 1.0), bias_field=0.4)
    _, shaded = augment(Slice(values, 1.0, 12), settings, np.random.default_rng(9))
    draw = np.random.default_rng(9)
    draw.uniform(size=2)  # angle and scale
    field = bias_field((40, 40), 0.4, draw)
    inner = np.s_[5:, 5:]
    np.testing.assert_allclose(shaded.values[inner], 1000 * field[inner], atol=2)
