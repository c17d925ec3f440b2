"""What is said of a stage at a level, from made-up images and figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [workstation]")

from scanside.benchmarks.quality.figures import edges_of
from scanside.benchmarks.quality.rows import EQUAL_DB, Seen, mean_of, row_of, see
from scanside.runtime.frame import FrameFacts
from scanside.train.metrics.case import Case, ruler


def seen(psnr: float, **other: float) -> Seen:
    usual = {"ssim": 0.9, "to_control": 50.0, "sharpness": 1.0, "bias": 0.0}
    return Seen(psnr=psnr, **{**usual, **other})


def disc(radius: float = 30.0, blur: float = 0.6) -> np.ndarray:
    """(128, 128) int16 HU: a disc of 1000 HU in water, its edge soft."""
    axis = np.arange(128) - 63.3
    away = np.hypot(axis[:, None], axis[None, :]) - radius
    return np.rint(1000 / (1 + np.exp(away / blur))).astype(np.int16)


def case_of(clean: np.ndarray, level: float = 20.0) -> Case:
    facts = FrameFacts(modality="CT", bits_stored=16, signed=True)
    inside = np.ones(clean.shape, bool)
    return Case(clean, clean, facts, inside, level, ruler("CT", clean, (-32768, 32767)))


def test_drift_is_against_the_control_and_total_against_the_whole_network():
    mine = [seen(40.0, bias=-2.0, sharpness=0.9), seen(41.0, bias=1.0, sharpness=0.8)]
    control = [seen(40.1), seen(41.4)]
    whole = [seen(40.2), seen(41.0)]
    row = row_of(mine, control, whole)
    assert row.images == 2
    assert row.psnr == pytest.approx(40.5)
    assert row.drift == pytest.approx(-0.25)
    assert row.worst_drift == pytest.approx(-0.4)
    assert row.total == pytest.approx(-0.1)
    assert row.bias == pytest.approx(-0.5)  # signed: a shift shows, noise cancels
    assert row.worst_bias == -2.0
    assert row.mtf50 == pytest.approx(0.85)
    assert row.worst_mtf50 == 0.8
    assert row.psnrs == [40.0, 41.0]
    assert row.drift_interval is not None
    assert row.drift_interval[0] <= row.drift <= row.drift_interval[1]


def test_what_cannot_be_measured_is_none_and_equal_images_have_an_end():
    one = [seen(40.0, sharpness=math.nan, to_control=math.inf)]
    row = row_of(one, one, one)
    assert row.mtf50 is None
    assert row.worst_mtf50 is None
    assert row.drift_interval is None
    assert row.total_interval is None
    assert row.to_control == EQUAL_DB


def test_an_image_is_seen_beside_its_clean_one_and_the_controls():
    clean = disc()
    case = case_of(clean)
    edges = edges_of([case])
    (same,) = see([clean], [case], edges, [clean])
    assert same.sharpness == 1.0
    assert same.to_control == math.inf
    shifted, control = clean + np.int16(3), clean + np.int16(1)
    (found,) = see([shifted], [case], edges, [control])
    assert found.bias == pytest.approx(3.0)
    assert found.psnr == pytest.approx(20 * math.log10(4095 / 3))
    assert found.to_control == pytest.approx(20 * math.log10(4095 / 2))
    (blurred,) = see([disc(blur=1.5)], [case], edges, [clean])
    assert blurred.sharpness < 0.7


def test_a_clean_image_has_its_edges_found_once_for_all_levels():
    clean, flat = disc(), np.zeros((64, 64), np.int16)
    first, second, none = edges_of([case_of(clean, 20), case_of(clean, 80), case_of(flat)])
    assert first is second
    assert first is not None
    assert none is None


def test_the_interval_of_a_mean_is_the_bootstraps_over_images():
    values = np.random.default_rng(1).normal(0.1, 0.05, 60)
    found = mean_of(list(values))
    half = 1.96 * values.std() / math.sqrt(60)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.15 * half)
    assert math.isnan(mean_of([1.0]).low)
