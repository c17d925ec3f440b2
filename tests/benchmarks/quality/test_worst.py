"""The frame that each stage spoilt most."""

from __future__ import annotations

import base64
import io

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [workstation]")

from matplotlib.image import imread

from scanside.benchmarks.quality.drift import EAGER, FLOAT, INPUT, PRUNED, SetDrift
from scanside.benchmarks.quality.sets import JudgedSet
from scanside.benchmarks.quality.worst import magnification, window_of, worst_frames
from scanside.compile.gate import CONTROL, Limits, Verdict
from scanside.runtime.frame import FrameFacts
from scanside.train.data.slice import Slice
from scanside.train.metrics.case import Case, ruler

RNG = np.random.default_rng(0)


def noisy(clean: np.ndarray, sigma: float) -> np.ndarray:
    return (clean + RNG.normal(0, sigma, clean.shape)).round().astype(np.int16)


def made_up() -> tuple[JudgedSet, SetDrift, dict[str, list[np.ndarray]]]:
    """Two slices at 20 and 80 HU; of four frames the third is spoilt by one stage."""
    facts = FrameFacts(modality="CT", bits_stored=16, signed=True)
    clean = [np.full((48, 64), 40 * number, np.int16) for number in range(2)]
    inside = np.ones((48, 64), bool)
    cases = [
        Case(one, noisy(one, level), facts, inside, level, ruler("CT", one, (-32768, 32767)))
        for one in clean
        for level in (20.0, 80.0)
    ]
    judged = JudgedSet("made up", "two", "HU", "4095 HU", [Slice(one, 1.0) for one in clean], cases)
    control = [noisy(case.clean, 5) for case in cases]
    good = [one.copy() for one in control]
    bad = [one.copy() for one in control]
    bad[2] = noisy(cases[2].clean, 9)
    images = {
        INPUT: [case.degraded for case in cases],
        FLOAT: control,
        PRUNED: control,
        CONTROL: control,
        EAGER: good,
        "model.onnx": bad,
        "served, x": [one.copy() for one in bad],
    }
    verdict = Verdict(
        limits=Limits(),
        data_range=4095.0,
        unit="HU",
        level_unit="HU",
        base_psnr=0.0,
        base_ssim=0.0,
        engines={},
    )
    drift = SetDrift(
        name="made up",
        words="",
        level_unit="HU",
        data_range="4095 HU",
        value_unit="HU",
        rows={},
        verdict=verdict,
        over_limit="",
        astray=[],
    )
    return judged, drift, images


def test_each_stage_shows_the_frame_that_lost_most():
    eager, spoilt = worst_frames(*made_up())
    assert eager.stages == EAGER
    assert eager.loss == 0
    assert spoilt.stages == "model.onnx, served, x"  # the same bits share a picture
    assert "slice 2 of 2 at 20 HU" in spoilt.words
    assert spoilt.loss == pytest.approx(20 * np.log10(5 / 9), abs=0.5)
    raw = base64.b64decode(spoilt.picture.removeprefix("data:image/png;base64,"))
    picture = imread(io.BytesIO(raw))
    # Four panels side by side; the last is the difference, a grey that is no flat one.
    quarter = picture[picture.shape[0] // 3 : -20, -picture.shape[1] // 5 : -20, 0]
    assert quarter.std() > 0.05


def test_the_difference_is_magnified_until_it_fills_the_grey_scale():
    quiet = RNG.normal(0, 1, (100, 100))
    times = magnification(quiet, 200.0)
    assert times == 32  # 99.9% lie within some 3.3: 64 would reach 211
    assert magnification(np.zeros((4, 4)), 200.0) == 1
    assert magnification(1e4 * quiet, 200.0) == 1


def test_windows_are_soft_tissue_in_ct_and_the_range_elsewhere():
    judged, _, _ = made_up()
    assert window_of(judged.cases[0]) == (-160, 240)
    image = np.arange(400, dtype=np.uint16).reshape(20, 20)
    facts = msgspec.structs.replace(judged.cases[0].facts, modality="MR", signed=False)
    mr = judged.cases[0]._replace(facts=facts, ruler=ruler("MR", image, (0, 4095)))
    low, high = window_of(mr)
    assert low == 0
    assert high == pytest.approx(np.percentile(image, 99))
