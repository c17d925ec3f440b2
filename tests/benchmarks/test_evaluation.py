"""The demo's test slices and figures."""

from __future__ import annotations

import numpy as np
import pytest

from scanside.benchmarks.evaluation import find_cases, judge_pictures
from scanside.runtime.frame import FrameFacts
from scanside.train.metrics.case import Case, ruler
from tiny import TINY


def test_figures_are_means_and_the_worst_gain():
    rng = np.random.default_rng(0)
    inside = np.ones((32, 32), bool)
    facts = FrameFacts(modality="CT", bits_stored=16, signed=True)
    cases, better = [], []
    for sigma, left in ((40, 10), (40, 20)):
        clean = np.zeros((32, 32), np.int16)
        noise = rng.normal(0, 1, (32, 32))
        noise /= noise.std()
        noisy = (noise * sigma).round().astype(np.int16)
        cases.append(Case(clean, noisy, facts, inside, sigma, ruler("CT", clean, (-32768, 32767))))
        better.append((noise * left).round().astype(np.int16))
    pictures = {"noisy": [case.degraded for case in cases], "model": better}
    figures = judge_pictures(pictures, cases)
    assert figures["noisy"].gain == 0
    gains = [20 * np.log10(4), 20 * np.log10(2)]
    assert figures["model"].gains == pytest.approx(gains, abs=0.05)
    assert figures["model"].gain == pytest.approx(np.mean(gains), abs=0.05)
    assert figures["model"].worst_gain == pytest.approx(gains[1], abs=0.05)
    assert figures["noisy"].psnr == pytest.approx(20 * np.log10(4095 / 40), abs=0.05)


def test_without_real_ct_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("SCANSIDE_DATA", str(tmp_path))
    found = find_cases(TINY)
    assert not found.real
    assert "phantoms" in found.data
    assert len(found.cases) == TINY.heldout_phantoms


def test_real_ct_has_forty_hu_of_noise_in_soft_tissue(monkeypatch, data_dir):
    monkeypatch.setenv("SCANSIDE_DATA", str(data_dir))
    found = find_cases(TINY)
    assert found.real
    assert "28 slices of one patient" in found.data
    for case in found.cases[::9]:
        tissue = case.inside & (np.abs(case.clean.astype(int)) < 150)
        noise = case.degraded.astype(int) - case.clean
        assert noise[tissue].std() == pytest.approx(40, rel=0.03)
        assert (noise[case.clean == -1500] == 0).all()
        assert not case.inside[case.clean == -1500].any()
