"""The map against a float64 reference that is written here from DESIGN.md, pixel by pixel rules
and all, not from the code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.random import Generator

from scanside.runtime.cubic import double
from scanside.runtime.errors import EngineError
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.intensity import FrameMap, apply_residual, to_unit
from scanside.runtime.manifest import Intensity, Percentiles, StoredRange, Window
from scanside.runtime.unit_range import window_range

CT = Window(lower=-160.0, upper=240.0, margin=100.0)
CONTAINERS = [("uint8", 8), ("int8", 8), ("uint16", 16), ("uint16", 12), ("int16", 16)]
CONTAINERS += [("int16", 12), ("uint16", 1), ("uint8", 5)]


def make_frame(
    rng: Generator, dtype: str, bits: int, shape: tuple[int, int] = (19, 23), **facts: object
) -> tuple[Pixels, FrameFacts]:
    """Random words, random bits above Bits Stored included."""
    made = FrameFacts(modality="CT", bits_stored=bits, signed=dtype.startswith("int"))
    info = np.iinfo(dtype)
    words = rng.integers(info.min, info.max, size=shape, endpoint=True).astype(dtype)
    return words, replace(made, **facts)


def reference_stored(words: Pixels, facts: FrameFacts) -> npt.NDArray[np.float64]:
    size = 1 << facts.bits_stored
    values = np.array([int(word) % size for word in words.ravel()], dtype=np.float64)
    if facts.signed:
        values = np.where(values >= size / 2, values - size, values)
    return values.reshape(words.shape)


def reference_window(
    stored: npt.NDArray[np.float64], facts: FrameFacts, intensity: Intensity
) -> tuple[float, float, float]:
    """(lower, upper, margin) in modality units."""
    if isinstance(intensity, Window):
        return intensity.lower, intensity.upper, intensity.margin
    if isinstance(intensity, StoredRange):
        ends = [end * facts.slope + facts.intercept for end in facts.stored_range]
        return min(ends), max(ends), 0.0
    modality = stored * facts.slope + facts.intercept
    seen = modality[~reference_padding(stored, facts)]
    lower, upper = np.percentile(seen, [intensity.lower, intensity.upper])
    return lower, upper, intensity.margin * (upper - lower)


def reference_padding(stored: npt.NDArray[np.float64], facts: FrameFacts) -> npt.NDArray[np.bool_]:
    if facts.padding is None:
        return np.zeros(stored.shape, dtype=np.bool_)
    return (stored >= facts.padding[0]) & (stored <= facts.padding[1])


def reference_unit(
    words: Pixels, facts: FrameFacts, intensity: Intensity
) -> npt.NDArray[np.float64]:
    stored = reference_stored(words, facts)
    lower, upper, margin = reference_window(stored, facts, intensity)
    modality = stored * facts.slope + facts.intercept
    unit = (modality - (lower - margin)) / (upper - lower + 2 * margin)
    unit = np.clip(unit, 0, 1)
    return 1 - unit if facts.photometric == "MONOCHROME1" else unit


def reference_out(
    words: Pixels,
    facts: FrameFacts,
    intensity: Intensity,
    residual: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Scale 1, before rounding: stored values as real numbers, within the frame's range."""
    stored = reference_stored(words, facts)
    lower, upper, margin = reference_window(stored, facts, intensity)
    modality = stored * facts.slope + facts.intercept
    beyond = np.maximum(np.maximum(lower - modality, modality - upper), 0)
    inside = (beyond == 0).astype(np.float64)
    weight = np.clip(1 - beyond / margin, 0, 1) if margin > 0 else inside
    weight[reference_padding(stored, facts)] = 0
    if facts.photometric == "MONOCHROME1":
        residual = -residual
    out = stored + weight * residual * (upper - lower + 2 * margin) / facts.slope
    return np.clip(out, *facts.stored_range)


INTENSITIES: list[Intensity] = [
    CT,
    Window(lower=0.0, upper=50.0, margin=12.5),
    Percentiles(lower=1.0, upper=99.0, margin=0.125),
    StoredRange(),
]


@pytest.mark.parametrize("intensity", INTENSITIES, ids=["ct", "narrow", "percentiles", "stored"])
@pytest.mark.parametrize(("dtype", "bits"), CONTAINERS)
@pytest.mark.parametrize("slope", [1.0, -0.75, 2.5])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("padding", [None, (3, 40)])
def test_the_map_is_the_reference(
    intensity: Intensity,
    dtype: str,
    bits: int,
    slope: float,
    photometric: str,
    padding: tuple[int, int] | None,
) -> None:
    rng = np.random.default_rng([bits, int(100 * abs(slope)), len(dtype)])
    words, facts = make_frame(
        rng, dtype, bits, slope=slope, intercept=-30.0, photometric=photometric, padding=padding
    )
    residual = rng.normal(0, 0.05, words.shape).astype(np.float32)
    frame = FrameMap(words, facts, intensity)
    assert frame.range is not None
    np.testing.assert_allclose(frame.unit(), reference_unit(words, facts, intensity), atol=2e-6)

    out = frame.apply(residual)

    assert out.dtype == words.dtype
    expected = reference_out(words, facts, intensity, residual.astype(np.float64))
    # Half a stored value of rounding, and float32's share of the widest range.
    np.testing.assert_allclose(reference_stored(out, facts), expected, atol=0.5 + 2e-2)
    np.testing.assert_allclose(
        reference_stored(out, facts), np.rint(expected), atol=1, err_msg="rounding"
    )


@settings(max_examples=60, deadline=None)
@given(
    container=st.sampled_from(CONTAINERS),
    slope=st.sampled_from([1.0, -1.0, 0.1, 7.0, -1e-300, 1e-30, 1e30]),
    intercept=st.sampled_from([0.0, -1024.0, 3e5]),
    padding=st.one_of(st.none(), st.tuples(st.integers(-9, 9), st.integers(-9, 9))),
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    intensity=st.sampled_from(INTENSITIES),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    seed=st.integers(0, 2**32),
    magnitude=st.sampled_from([0.0, 1e-3, 1.0, 1e30, 3e38]),
)
def test_what_no_model_may_touch_stays_to_the_last_bit(
    container: tuple[str, int],
    slope: float,
    intercept: float,
    padding: tuple[int, int] | None,
    photometric: str,
    intensity: Intensity,
    shape: tuple[int, int],
    seed: int,
    magnitude: float,
) -> None:
    rng = np.random.default_rng(seed)
    words, facts = make_frame(
        rng, *container, shape, slope=slope, intercept=intercept, photometric=photometric
    )
    facts = replace(facts, padding=padding)
    residual = (rng.uniform(-1, 1, shape) * magnitude).astype(np.float32)
    original = words.copy()
    frame = FrameMap(words, facts, intensity)

    out = frame.apply(residual)

    assert (words == original).all()
    assert (out == words)[frame.untouched()].all()
    assert magnitude > 0 or (out == words).all()
    above = ~((1 << facts.bits_stored) - 1) & ((1 << 8 * words.itemsize) - 1)
    if not facts.signed:
        assert ((out & above) == (words & above)).all()
    low, high = facts.stored_range
    stored = reference_stored(out, facts)
    assert stored.min() >= low
    assert stored.max() <= high
    if isinstance(intensity, Window) and frame.range is not None and abs(slope) >= 0.1:
        modality = reference_stored(words, facts) * slope + intercept
        beyond = (modality < intensity.lower - intensity.margin) | (
            modality > intensity.upper + intensity.margin
        )
        assert (out == words)[beyond].all()
    low_padding, high_padding = sorted(padding or (1, 0))
    if padding is not None:
        source = reference_stored(words, facts)
        assert (out == words)[(source >= low_padding) & (source <= high_padding)].all()


def ct_words(hu: list[float]) -> tuple[Pixels, FrameFacts]:
    facts = FrameFacts(modality="CT", bits_stored=16, signed=True, intercept=-1024.0)
    return np.array([hu], dtype=np.float64).astype(np.int16) + np.int16(1024), facts


def test_influence_fades_over_the_margin() -> None:
    words, facts = ct_words([-300, -261, -260, -210, -160, 0, 240, 290, 340, 341])
    residual = np.full(words.shape, 100 / 600, dtype=np.float32)  # 100 HU of 600
    change = apply_residual(words, residual, facts, CT).astype(int) - words
    assert change.tolist() == [[0, 0, 0, 50, 100, 100, 100, 50, 0, 0]]


def test_the_network_sees_the_margin_too() -> None:
    words, facts = ct_words([-1000, -260, 40, 340, 2000])
    np.testing.assert_allclose(to_unit(words, facts, CT), [[0, 0, 0.5, 1, 1]], atol=1e-7)


def test_monochrome1_is_turned_before_and_back_after() -> None:
    words, facts = ct_words([-260, -110, 340])
    turned = replace(facts, photometric="MONOCHROME1")
    np.testing.assert_allclose(to_unit(words, turned, CT), [[1, 0.75, 0]], atol=1e-7)
    residual = np.full(words.shape, 60 / 600, dtype=np.float32)
    out = apply_residual(words, residual, turned, CT)
    assert (out.astype(int) - words).tolist() == [[0, -60, 0]]


@pytest.mark.parametrize("padding", [(-2000, -1990), (-1990, -2000)])
def test_padding_is_a_range_whichever_end_comes_first(padding: tuple[int, int]) -> None:
    wide = Window(lower=-3000.0, upper=3000.0, margin=0.0)
    facts = FrameFacts(modality="CT", bits_stored=16, signed=True, padding=padding)
    words = np.array([[-2001, -2000, -1995, -1990, -1989]], dtype=np.int16)
    out = apply_residual(words, np.full((1, 5), 0.01, np.float32), facts, wide)
    assert (out - words).tolist() == [[60, 0, 0, 0, 60]]


def test_halves_are_rounded_to_even() -> None:
    facts = FrameFacts(modality="US", bits_stored=8, signed=False)
    words = np.array([[10, 11, 12, 13]], dtype=np.uint8)
    out = apply_residual(words, np.full((1, 4), 0.5 / 255, np.float32), facts, StoredRange())
    assert out.tolist() == [[10, 12, 12, 14]]


def test_training_on_hu_sees_what_the_device_sees() -> None:
    rng = np.random.default_rng(4)
    words, facts = make_frame(rng, "uint16", 12, slope=0.5, intercept=-1024.0)
    hu = (reference_stored(words, facts) * 0.5 - 1024).astype(np.float32)
    training = window_range(CT)
    np.testing.assert_allclose(training.unit(hu), to_unit(words, facts, CT), atol=1e-6)
    device = FrameMap(words, facts, CT).range
    assert device is not None
    stored = reference_stored(words, facts)
    np.testing.assert_allclose(training.weight(hu), device.weight(stored), atol=1e-5)
    assert training.span == 600.0
    assert training.one == 340.0


def test_percentiles_are_numpys() -> None:
    rng = np.random.default_rng(5)
    words, facts = make_frame(rng, "uint16", 12, slope=-2.0, intercept=7.0, padding=(0, 900))
    rule = Percentiles(lower=0.5, upper=99.25, margin=0.0)
    found = FrameMap(words, facts, rule).range
    stored = reference_stored(words, facts)
    lower, upper = np.percentile(stored[stored > 900] * -2.0 + 7.0, [0.5, 99.25])
    assert found is not None
    assert found.zero * -2.0 + 7.0 == pytest.approx(lower)
    assert found.one * -2.0 + 7.0 == pytest.approx(upper)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize(
    ("intensity", "padding"),
    [(CT, (5, 5)), (StoredRange(), None), (Percentiles(lower=5, upper=60, margin=0.1), None)],
)
def test_a_frame_with_nothing_to_see_is_given_back(
    scale: int, intensity: Intensity, padding: tuple[int, int] | None
) -> None:
    facts = FrameFacts(modality="CT", bits_stored=12, signed=False, padding=padding)
    words = np.full((9, 7), 5, dtype=np.uint16)
    if isinstance(intensity, Percentiles):
        words[0, 0] = 9  # not constant, but no width between the percentiles
    frame = FrameMap(words, facts, intensity)
    assert frame.range is None
    residual = np.full((9 * scale, 7 * scale), 0.5, dtype=np.float32)
    np.testing.assert_array_equal(frame.apply(residual, scale), frame.apply(None, scale))
    if scale == 1:
        np.testing.assert_array_equal(frame.apply(residual), words)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_residual_that_is_not_finite_is_an_engine_error(bad: float) -> None:
    words, facts = ct_words([0, 1, 2])
    with pytest.raises(EngineError, match="not finite"):
        apply_residual(words, np.array([[0, bad, 0]], dtype=np.float32), facts, CT)


def test_a_residual_of_another_shape_is_an_engine_error() -> None:
    words, facts = ct_words([0, 1, 2])
    with pytest.raises(EngineError, match="gave"):
        apply_residual(words, np.zeros((1, 3), np.float32), facts, CT, scale=2)


def reference_double(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' kernel with a = -1/2 as published, tap by tap, half-pixel-centred, edges clamped."""

    def kernel(x: float) -> float:
        x = abs(x)
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    def matrix(length: int) -> npt.NDArray[np.float64]:
        weights = np.zeros((2 * length, length))
        for target in range(2 * length):
            centre = (target + 0.5) / 2 - 0.5
            for source in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
                weights[target, min(max(source, 0), length - 1)] += kernel(centre - source)
        return weights

    rows, columns = image.shape
    return matrix(rows) @ image @ matrix(columns).T


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 3), (17, 22)])
def test_doubling_is_keys_cubic(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(6).integers(0, 65536, shape).astype(np.float64)
    np.testing.assert_allclose(
        double(image.astype(np.float32)), reference_double(image), rtol=1e-6, atol=0.02
    )


def reference_fill(
    image: npt.NDArray[np.float64], holes: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    filled, left = np.where(holes, image[~holes].min(), image), holes.copy()
    for _ in range(2):
        known = filled.copy()
        there = ~left
        for row, column in np.argwhere(left):
            around = np.s_[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            if there[around].any():
                filled[row, column] = known[around][there[around]].mean()
                left[row, column] = False
    return filled


def test_padding_makes_no_edge_for_the_cubic() -> None:
    words = np.full((24, 24), 1064, np.int16)  # tissue up to the edge of the field of view
    words[0, 0] = 1065  # a constant frame would be left alone
    words[:, 12:] = -2000
    facts = FrameFacts(modality="CT", bits_stored=16, signed=True, padding=(-2000, -2000))
    doubled = apply_residual(words, np.zeros((48, 48), np.float32), facts, CT, scale=2)
    assert (doubled[4:, :24] == 1064).all()
    assert (doubled[:, 24:] == -2000).all()
    assert double(words.astype(np.float32))[20, 23] < 1064 - 500  # what it did before


def test_the_network_sees_no_edge_of_padding_at_2x() -> None:
    rng = np.random.default_rng(8)
    words = rng.integers(1000, 1100, (16, 16)).astype(np.int16)
    words[:, 8:] = -2000
    facts = FrameFacts(modality="CT", bits_stored=16, signed=True, padding=(-2000, -2000))
    seen = to_unit(words, facts, CT, scale=2)
    assert (seen[:, 8:] >= seen[:, :8].min()).all()
    assert (to_unit(words, facts, CT)[:, 8:] == 0).all()
    assert (seen[:, :8] == to_unit(words, facts, CT)[:, :8]).all()


def test_doubling_leaves_a_constant_alone() -> None:
    assert (double(np.full((5, 4), 65535, np.float32)) == 65535).all()


@pytest.mark.parametrize(("dtype", "bits"), [("uint16", 12), ("int16", 16), ("int16", 12)])
def test_twofold_base_residual_and_padding(dtype: str, bits: int) -> None:
    rng = np.random.default_rng(7)
    words, facts = make_frame(rng, dtype, bits, intercept=-900.0)
    words[4:9, 5:12] = words[0, 0]
    stored = reference_stored(words, facts)
    value = int(stored[0, 0])
    facts = replace(facts, padding=(value, value))
    residual = rng.normal(0, 0.05, (38, 46)).astype(np.float32)

    out = reference_stored(apply_residual(words, residual, facts, CT, scale=2), facts)

    base = reference_double(reference_fill(stored, stored == value))
    modality = np.clip(base, *facts.stored_range) - 900.0
    beyond = np.maximum(np.maximum(-160 - modality, modality - 240), 0)
    expected = base + np.clip(1 - beyond / 100, 0, 1) * residual * 600
    expected = np.clip(expected, *facts.stored_range)
    padding = np.kron(stored == value, np.ones((2, 2))).astype(bool)
    assert padding.sum() >= 4 * 35
    assert (out[padding] == value).all()
    np.testing.assert_allclose(out[~padding], expected[~padding], atol=0.5 + 2e-2)


def test_stored_range_lets_the_residual_correct_a_base_that_overshot() -> None:
    facts = FrameFacts(modality="US", bits_stored=8, signed=False)
    words = np.zeros((8, 8), dtype=np.uint8)
    words[:, 4:] = 255
    assert double(words.astype(np.float32)).max() > 255
    out = apply_residual(words, np.full((16, 16), -1, np.float32), facts, StoredRange(), scale=2)
    assert out.max() <= 30


def test_real_ct_comes_back_from_a_zero_residual(data_dir: Path) -> None:
    files = sorted((data_dir / "ct_ge_hispeed_dual").glob("*.dcm"))[:4]
    assert files
    for file in files:
        dataset = pydicom.dcmread(file)
        words = dataset.pixel_array
        padding = dataset.get("PixelPaddingValue")
        facts = FrameFacts(
            modality="CT",
            bits_stored=dataset.BitsStored,
            signed=bool(dataset.PixelRepresentation),
            slope=float(dataset.RescaleSlope),
            intercept=float(dataset.RescaleIntercept),
            padding=None if padding is None else (padding, padding),
        )
        for intensity in INTENSITIES:
            frame = FrameMap(words, facts, intensity)
            assert np.ptp(frame.unit()) > 0.01
            np.testing.assert_array_equal(frame.apply(np.zeros(words.shape, np.float32)), words)
