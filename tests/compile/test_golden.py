"""The golden inputs cover what DESIGN.md lists, are synthetic, small, and tell engines apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bundles import CT_WINDOW, make_manifest
from networks import MULTIPLE, RECEPTIVE_FIELD, make_unet
from scanside.compile.golden import golden_frames, golden_inputs
from scanside.runtime.admission import admit
from scanside.runtime.engines import EngineSpec
from scanside.runtime.engines.cpu import CpuEngine
from scanside.runtime.engines.onnxruntime import load_network
from scanside.runtime.frame import stored_values
from scanside.runtime.golden import decode_golden, encode_golden
from scanside.runtime.intensity import FrameMap
from scanside.runtime.manifest import Intensity, Percentiles, Sizes, StoredRange


def test_they_cover_what_the_design_lists() -> None:
    sizes = Sizes(tile=256)
    inputs = golden_inputs("CT", sizes, 0)
    facts = [one for _, one in inputs]
    shapes = [words.shape for words, _ in inputs]
    assert any(rows % 2 and columns % 2 for rows, columns in shapes)
    assert any(rows > sizes.tile for rows, columns in shapes)
    assert any(one.signed and one.bits_stored == 16 for one in facts)
    assert any(not one.signed and one.bits_stored == 12 and one.intercept < 0 for one in facts)
    assert any(one.photometric == "MONOCHROME1" for one in facts)
    assert any(np.ptp(words) == 0 for words, _ in inputs)
    assert any((words >> one.bits_stored).any() for words, one in inputs if one.bits_stored == 12)
    padding = [
        float(np.mean(stored_values(words, one) == one.padding[0]))
        for words, one in inputs
        if one.padding is not None
    ]
    assert len(padding) == 1
    assert 0.1 < padding[0] < 0.4


@pytest.mark.parametrize("modality", ["CT", "MR", "US"])
@pytest.mark.parametrize("sizes", [Sizes(), Sizes(minimum=64, maximum=80, tile=64)])
def test_a_model_for_them_may_touch_them(modality: str, sizes: Sizes) -> None:
    manifest = make_manifest(modality=(modality,), sizes=sizes)
    for words, facts in golden_inputs(modality, sizes, 3):
        rows, columns = words.shape
        admit(manifest, facts, (rows, columns), words.dtype.name)


def test_a_seed_gives_the_same_frames_and_another_seed_others() -> None:
    one, same, other = (golden_inputs("CT", Sizes(tile=128), seed) for seed in (1, 1, 2))
    for (a, _), (b, _) in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for (a, _), (b, _) in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "intensity", [CT_WINDOW, Percentiles(lower=1, upper=90, margin=0.1), StoredRange()]
)
def test_values_lie_inside_and_outside(intensity: Intensity) -> None:
    inside, outside = 0, 0
    for words, facts in golden_inputs("CT", Sizes(), 4)[:6]:
        frame = FrameMap(words, facts, intensity)
        assert frame.range is not None
        inside += int((~frame.untouched()).sum())
        outside += int(frame.untouched().sum())
    assert inside > 20_000
    assert outside > 2_000


@pytest.mark.parametrize("scale", [1, 2])
def test_whole_they_are_small_and_come_back(scale: int, tmp_path: Path) -> None:
    manifest = make_manifest(
        multiple_of=MULTIPLE, receptive_field=RECEPTIVE_FIELD, scale=scale, sizes=Sizes(tile=1024)
    )
    spec = EngineSpec(name="reference", version="", device="", threads=1, scale=scale)
    reference = CpuEngine(manifest, load_network(make_unet(scale), 2), spec)
    frames = golden_frames(reference, golden_inputs("CT", manifest.sizes, 5))
    raw = encode_golden(frames)
    assert len(raw) < 3_000_000
    back = decode_golden(raw, manifest)
    assert len(back) == len(frames)
    if scale == 1:
        changed = [float(np.mean(frame.result != frame.words)) for frame in back]
        assert min(changed[:5]) > 0.05, "an identity must show on every large frame"
        assert changed[-1] == 0.0
