"""The bare ONNX file: whole, loadable, and with a card that suffices to use it rightly."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import onnx
import onnxruntime
import pytest

from bundles import CT_WINDOW, write_test_bundle
from scanside.compile.formats.bare_onnx import write_onnx
from scanside.runtime.bundle import MODEL, Bundle
from scanside.runtime.engines.choose import open_engine
from scanside.runtime.frame import FrameFacts
from scanside.runtime.manifest import Acceptance, Percentiles, StoredRange, Window

ACCEPTANCE = Acceptance(
    data="none", data_range=1.0, unit="HU", drift_limit_db=0.1, figures={}, warnings=("a loss",)
)
HARD = Window(lower=-100.0, upper=300.0, margin=0.0)


@pytest.fixture
def bundle(tmp_path):
    return Bundle.open(write_test_bundle(tmp_path / "m.scanside", acceptance=ACCEPTANCE, scale=2))


def test_the_file_is_the_verified_member_and_genuine_onnx_takes_it(bundle, tmp_path):
    out = write_onnx(bundle, MODEL, tmp_path / "new" / "m.onnx", False)
    assert out.read_bytes() == bundle.member(MODEL)
    onnx.checker.check_model(out, full_check=True)
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    card = json.loads((tmp_path / "new" / "m.onnx.json").read_bytes())
    for told, there in (("input", session.get_inputs()), ("output", session.get_outputs())):
        assert [card[told]["name"]] == [one.name for one in there]
        assert [card[told]["dtype"]] == ["float32"]
        assert card[told]["shape"] == there[0].shape
    assert card["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert card["identity"] == bundle.identity
    assert (card["scale"], card["multiple_of"], card["receptive_field"]) == (2, 1, 0)
    assert card["warnings"] == ["a loss"]
    assert "outside the bundle's signature" in card["caution"]
    assert sorted(one.name for one in out.parent.iterdir()) == ["m.onnx", "m.onnx.json"]


def numbers(step: str) -> list[float]:
    return [float(one) for one in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", step)]


def by_the_card(card: dict, session, words, facts: FrameFacts) -> np.ndarray:
    """The six steps of the card, in float64, by someone who knows nothing else (scale 1, no
    padding values, no tiles). Returns stored values, not rounded."""
    value = words * facts.slope + facts.intercept
    rule, said = card["intensity"], numbers(card["steps"][1])
    if rule["type"] == "window":
        zero, span, fade = said
    elif rule["type"] == "percentiles":
        *wanted, below, widths, fade = said
        low, high = np.percentile(value, wanted)
        zero, span = low - below * (high - low), widths * (high - low)
    else:
        ends = np.array(facts.stored_range) * facts.slope + facts.intercept
        zero, span, (fade,) = ends.min(), ends.max() - ends.min(), said
    u = (value - zero) / span
    turn = facts.photometric == "MONOCHROME1"
    image = np.clip(u, 0, 1)
    image = 1 - image if turn else image
    rows, columns = image.shape
    step = card["multiple_of"]
    missing = [-(-max(n, card["smallest_side"]) // step) * step - n for n in image.shape]
    padded = np.pad(image, [(0, missing[0]), (0, missing[1])], mode="reflect")
    fed = padded[np.newaxis, np.newaxis].astype(np.float32)
    (residual,) = session.run(None, {card["input"]["name"]: fed})
    inside = np.minimum(u, 1 - u)
    weight = np.clip(inside / fade, 0, 1) if fade else (inside >= 0).astype(float)
    change = weight * residual[0, 0, :rows, :columns] * span
    return (value + (-change if turn else change) - facts.intercept) / facts.slope


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize(
    "intensity", [CT_WINDOW, HARD, Percentiles(lower=2.0, upper=98.0, margin=0.3), StoredRange()]
)
def test_the_card_alone_gives_the_runtimes_pixels(intensity, photometric, tmp_path):
    path = write_test_bundle(
        tmp_path / "m.scanside",
        intensity=intensity,
        residual=0.125,
        multiple_of=8,
        receptive_field=1,
    )
    bundle = Bundle.open(path)
    out = write_onnx(bundle, MODEL, tmp_path / "m.onnx", False)
    card = json.loads((tmp_path / "m.onnx.json").read_bytes())
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    words = np.random.default_rng(8).integers(0, 4096, (45, 61)).astype(np.uint16)
    facts = FrameFacts(
        modality="CT",
        bits_stored=12,
        signed=False,
        slope=0.5,
        intercept=-600.0,
        photometric=photometric,
    )
    (runtime,) = open_engine(bundle, "onnxruntime", threads=1).run(words[np.newaxis], [facts])
    mine = np.clip(by_the_card(card, session, words.astype(np.float64), facts), 0, 4095)
    assert (runtime != words).mean() > 0.05
    # Half a step of rounding, and float32 beside float64.
    assert np.abs(mine - runtime).max() <= 0.51
