"""What a model did to a frame, in the frame's own unit range."""

from __future__ import annotations

import numpy as np
import pytest

from bundles import make_manifest
from scanside.runtime.frame import FrameFacts, stored_values
from scanside.runtime.guard import NOTHING, Change, change_of, check_result, outside
from scanside.runtime.intensity import FrameMap, apply_residual
from scanside.runtime.manifest import Guard, Percentiles, StoredRange, Window

WINDOW = Window(lower=-1000.0, upper=1000.0, margin=250.0)  # 2,500 HU wide with its margins
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_known_residual_is_measured(scale, photometric):
    facts = FrameFacts(
        modality="CT", bits_stored=12, signed=False, intercept=-1024.0, photometric=photometric
    )
    words = np.full((32, 32), 1000, np.uint16)
    words[0, 0] += 1  # of a constant frame nothing is enhanced
    residual = np.zeros((32 * scale, 32 * scale), np.float32)
    residual[:, ::2] = 0.04  # 100 HU brighter, in every second column
    result = apply_residual(words, residual, facts, WINDOW, scale)
    change = change_of(words, result, facts, WINDOW, scale)
    assert change.largest == pytest.approx(0.04, abs=1e-3)
    assert change.mean == pytest.approx(0.02, abs=1e-3)
    assert change.rms == pytest.approx(0.04 / np.sqrt(2), abs=1e-3)
    assert change.deviation == pytest.approx(0.02, abs=1e-3)


def test_mr_of_any_strength_is_measured_alike():
    rule = Percentiles(lower=1.0, upper=99.0, margin=0.5)
    facts = FrameFacts(modality="MR", bits_stored=16, signed=False)
    anatomy = RNG.integers(0, 500, (64, 64))
    residual = RNG.normal(0, 0.01, anatomy.shape).astype(np.float32)
    found = []
    for strength in (1, 40):
        words = (anatomy * strength).astype(np.uint16)
        result = apply_residual(words, residual, facts, rule)
        found.append(change_of(words, result, facts, rule).rms)
    assert found[0] == pytest.approx(found[1], rel=0.1)


def test_nothing_and_overlay_bits_are_no_change():
    facts = FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0)
    words = RNG.integers(0, 4096, (16, 16)).astype(np.uint16) | np.uint16(0x5000)
    assert change_of(words, words.copy(), facts, WINDOW) == NOTHING
    constant = np.zeros((16, 16), np.uint16)
    rule = Percentiles(lower=1.0, upper=99.0, margin=0.5)
    assert change_of(constant, constant, facts, rule) == NOTHING
    facts = FrameFacts(modality="US", bits_stored=8, signed=False)
    half = np.array([[0, 255], [0, 255]], np.uint8)
    change = change_of(half, np.full_like(half, 255), facts, StoredRange())
    assert change.largest == pytest.approx(1.0)
    assert change.mean == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (Change(0.1, 0.01, 0.0), False),
        (Change(0.11, 0.01, 0.0), True),
        (Change(0.1, 0.02, 0.0), True),
        (Change(float("nan"), 0.0, 0.0), True),
    ],
)
def test_what_lies_outside(change, refused):
    assert outside(change, Guard(largest_change=0.1, largest_rms=0.01)) is refused


def measured_at_once(words, result, facts, intensity, scale):
    """The definition, in float64 and over the whole frame."""
    frame = FrameMap(words, facts, intensity)
    base = stored_values(frame.apply(None, scale), facts).astype(np.float64)
    difference = (stored_values(result, facts) - base) / frame.range.span
    return np.abs(difference).max(), np.sqrt(np.square(difference).mean()), difference.mean()


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize(
    "facts",
    [
        FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0),
        FrameFacts(modality="CT", bits_stored=12, signed=True, padding=(-2000, -1500)),
        FrameFacts(modality="CT", bits_stored=16, signed=True, photometric="MONOCHROME1"),
    ],
    ids=["unsigned", "padded", "inverted"],
)
@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (33, 3), (301, 517), (3, 40_000)])
def test_strips_measure_what_the_whole_frame_does(shape, facts, scale):
    low, high = facts.stored_range
    words = RNG.integers(max(low, -2000), min(high, 4000), shape).astype(
        np.int16 if facts.signed else np.uint16
    )
    noise = RNG.normal(0, 0.02, (shape[0] * scale, shape[1] * scale)).astype(np.float32)
    result = apply_residual(words, noise, facts, WINDOW, scale)
    found = change_of(words, result, facts, WINDOW, scale)
    if FrameMap(words, facts, WINDOW).range is None:
        assert found is NOTHING
    else:
        assert found == pytest.approx(
            measured_at_once(words, result, facts, WINDOW, scale), rel=1e-5, abs=1e-9
        )


def test_a_frame_with_nothing_to_see_must_come_back_as_it_was():
    facts = FrameFacts(modality="CT", bits_stored=12, signed=False)
    constant = np.full((40, 40), 1000, np.uint16)
    assert change_of(constant, constant.copy(), facts, WINDOW) is NOTHING
    spoilt = constant.copy()
    spoilt[39, 39] += 1
    assert outside(
        change_of(constant, spoilt, facts, WINDOW), Guard(largest_change=1e9, largest_rms=1e9)
    )


@pytest.mark.parametrize("place", [(0, 0), (255, 0), (0, 255), (255, 255), (130, 77)])
def test_one_wild_pixel_anywhere_is_seen(place):
    facts = FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0)
    words = RNG.integers(900, 1100, (256, 256)).astype(np.uint16)
    result = words.copy()
    result[place] = 3000
    manifest = make_manifest(intensity=WINDOW, guard=Guard(largest_change=0.1, largest_rms=0.05))
    change, within = check_result(manifest, words, result, facts)
    assert change.largest > 0.7
    assert change.rms < 0.05
    assert not within
    assert check_result(manifest, words, words.copy(), facts)[1]
    unbounded = make_manifest(intensity=WINDOW)
    assert check_result(unbounded, words, result, facts) == (None, True)


@pytest.mark.parametrize("bit", [12, 13, 14, 15])
def test_a_bit_above_bits_stored_that_changed_is_seen(bit):
    """Of unsigned words; others are compared by their stored values alone."""
    facts = FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0)
    words = RNG.integers(0, 4096, (16, 16)).astype(np.uint16)
    result = words.copy()
    result[3, 4] ^= np.uint16(1 << bit)
    assert change_of(words, result, facts, WINDOW).largest > 1.0
