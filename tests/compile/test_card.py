"""The card tells what low contrast is left, and warns."""

import numpy as np
import pytest

from scanside.compile.card import with_low_contrast
from scanside.runtime.bundle import Bundle
from scanside.runtime.cli import main
from scanside.runtime.engines import EngineSpec
from scanside.runtime.engines.cpu import CpuEngine
from scanside.runtime.manifest import Acceptance
from scanside.train.heldout import load_cases
from scanside.train.manifest import draft_manifest
from scanside.train.models.unet import UNet
from scanside.train.run import Run
from tiny import TINY

PLAIN = Acceptance(data="", data_range=1.0, unit="HU", drift_limit_db=0.1, figures={})
SMALL = "a +40 HU disc of 3 px radius at 40 HU of noise"


def engine(network):
    draft = draft_manifest(TINY, UNet((4, 4)))
    spec = EngineSpec(name="", version="", device="cpu", threads=1, scale=1)
    return CpuEngine(draft, network, spec)


def test_who_changes_nothing_keeps_all_of_it(tiny_run):
    cases = load_cases(Run(tiny_run).heldout)
    found = with_low_contrast(PLAIN, engine(np.zeros_like), cases)
    assert found.warnings == ()
    assert found.figures[f"contrast left of {SMALL}"] == pytest.approx(1, abs=0.02)


def test_who_erases_it_is_warned_of(tiny_run, monkeypatch):
    cases = load_cases(Run(tiny_run).heldout)

    def to_fifty_hu(image):
        return np.float32((50 + 1320) / 2640) - image

    found = with_low_contrast(PLAIN, engine(to_fifty_hu), cases)
    assert any(SMALL in warning and "0%" in warning for warning in found.warnings)


def test_a_bundle_carries_it_and_inspect_shows_it(tiny_bundle, capsys):
    acceptance = Bundle.open(tiny_bundle).manifest.acceptance
    assert acceptance is not None
    assert f"contrast left of {SMALL}" in acceptance.figures
    with pytest.raises(SystemExit):
        main(["inspect", str(tiny_bundle)])
    shown = capsys.readouterr().out
    assert "contrast left of" in shown
    assert ("WARNING" in shown) == bool(acceptance.warnings)
