"""One figure in two runs: what is judged, and which way is worse."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra [workstation]")
from scipy import stats

from scanside.benchmarks.evidence.changes import (
    Circumstances,
    Verdict,
    change_of,
    holm,
    judged,
    pooled,
)
from scanside.benchmarks.evidence.kinds import Kind, kind_of
from scanside.benchmarks.evidence.noise import Middle
from scanside.benchmarks.evidence.record import Figure
from scanside.benchmarks.evidence.spread import (
    BETWEEN,
    BETWEEN_BY_CORE,
    Spread,
    assumed,
    log_middle,
    median_of,
    spread_of,
    widened,
)

ALIKE = Circumstances(same_machine=True, same_data=True)
ELSEWHERE = Circumstances(same_machine=False, same_data=True)
RNG = np.random.default_rng(0)
LEVEL = RNG.normal(0, 0.01, 40)


def verdict(before, after, where=ALIKE):
    return judged([change_of("b", before, after, where, Spread())])[0].verdict


@pytest.mark.parametrize(
    ("metric", "unit", "over", "kind"),
    [
        ("p50", "ms", "", Kind.CLOCK),
        ("added", "ms", "in process", Kind.CLOCK),
        ("rate", "frames/s", "", Kind.CLOCK),
        ("cpu", "ms per frame", "", Kind.CLOCK),
        ("round trip", "times", "in process", Kind.RATIO),
        ("share", "", "in process", Kind.RATIO),
        ("psnr", "dB", "", Kind.QUALITY),
        ("drift", "dB", "float control", Kind.QUALITY),
        ("mtf50", "times", "the clean image's", Kind.QUALITY),
        ("ssim", "", "", Kind.QUALITY),
        ("bias", "HU", "", Kind.QUALITY),
        ("python calls", "calls", "", Kind.COUNT),
        ("user code", "lines", "", Kind.COUNT),
        ("calls", "calls per frame", "", Kind.COUNT),
        ("idle", "MB", "", Kind.SIZE),
        ("smell", "olf", "", Kind.OTHER),
    ],
)
def test_a_figures_kind_is_told_by_its_unit(metric, unit, over, kind):
    figure = Figure(metric=metric, unit=unit, of={}, value=1.0, better="lower", over=over)
    assert kind_of(figure) is kind


@pytest.mark.parametrize(
    ("better", "factor", "expected"),
    [
        ("lower", 1.15, Verdict.WORSE),
        ("lower", 0.85, Verdict.BETTER),
        ("higher", 0.85, Verdict.WORSE),
        ("higher", 1.15, Verdict.BETTER),
        ("lower", 1.03, Verdict.SAME),
        ("neither", 1.5, Verdict.SHOWN),
    ],
)
def test_worse_is_where_better_is_not(ratio, better, factor, expected):
    after = ratio(LEVEL[::-1] + math.log(factor), better=better)
    assert verdict(ratio(LEVEL, better=better), after) is expected


def test_a_change_within_a_large_noise_is_only_perhaps_worse(ratio):
    rng = np.random.default_rng(1)
    before, after = rng.normal(0, 0.2, (2, 20))
    after += 0.12 - after.mean() + before.mean()
    found = judged([change_of("b", ratio(before), ratio(after), ALIKE, Spread())])[0]
    assert found.verdict is Verdict.PERHAPS
    assert found.visible > 0.2


def test_what_is_called_visible_is_found_nineteen_times_in_twenty(ratio):
    rng = np.random.default_rng(2)
    found, sizes = 0, []
    for _ in range(200):
        before, after = rng.normal(0, 0.04, (2, 30))
        # Runs differ by what is assumed of them, too.
        before, after = before + rng.normal(0, BETWEEN), after + rng.normal(0, BETWEEN)
        planted = 0.11
        change = change_of("b", ratio(before), ratio(after + planted), ALIKE, Spread())
        one = judged([change])[0]
        found += one.verdict is Verdict.WORSE
        sizes.append(one.visible)
    assert np.median(sizes) == pytest.approx(planted, abs=0.01)
    assert 180 <= found <= 199


@pytest.mark.parametrize(
    ("unit", "metric", "better", "before", "after", "expected"),
    [
        ("dB", "psnr", "higher", 38.40, 38.38, Verdict.SAME),
        ("dB", "psnr", "higher", 38.40, 38.37, Verdict.WORSE),
        ("dB", "psnr", "higher", 38.40, 38.43, Verdict.BETTER),
        ("HU", "bias", "lower", 0.2, 0.35, Verdict.WORSE),
        ("", "ssim", "higher", 0.95, 0.949, Verdict.SAME),
        ("", "ssim", "higher", 0.95, 0.947, Verdict.WORSE),
        ("calls", "calls", "lower", 600, 606, Verdict.SAME),
        ("calls", "calls", "lower", 600, 607, Verdict.WORSE),
        ("frames", "lost", "lower", 0, 1, Verdict.WORSE),
        ("MB", "idle", "lower", 100, 104, Verdict.SAME),
        ("MB", "idle", "lower", 100, 106, Verdict.WORSE),
    ],
)
def test_what_is_exact_is_held_to_its_tolerance(
    exact, unit, metric, better, before, after, expected
):
    first, second = (exact(value, unit, metric, better) for value in (before, after))
    assert verdict(first, second) is expected


def test_a_size_of_a_few_starts_is_held_to_what_matters(exact):
    from msgspec.structs import replace

    sizes = [
        replace(exact(value, "MB", "RSS", "lower"), rounds=[value, value + 1, value - 1])
        for value in (100.0, 104.0, 106.0)
    ]
    assert verdict(sizes[0], sizes[1]) is Verdict.SAME
    assert verdict(sizes[0], sizes[2]) is Verdict.WORSE


def test_times_are_shown_and_judged_only_when_asked_on_one_machine(ratio):
    before = ratio(LEVEL, metric="p50", unit="ms", over="")
    after = ratio(LEVEL + 0.5, metric="p50", unit="ms", over="")
    asked = Circumstances(same_machine=True, same_data=True, times=True)
    asked_elsewhere = Circumstances(same_machine=False, same_data=True, times=True)
    assert verdict(before, after) is Verdict.SHOWN
    assert verdict(before, after, asked) is Verdict.WORSE
    assert verdict(before, after, asked_elsewhere) is Verdict.SHOWN


def test_ratios_are_judged_on_any_machine_sizes_are_not(ratio, exact):
    assert verdict(ratio(LEVEL), ratio(LEVEL + 0.3), ELSEWHERE) is Verdict.WORSE
    sizes = [exact(value, "MB", "idle", "lower") for value in (100, 200)]
    assert verdict(*sizes, ELSEWHERE) is Verdict.SHOWN


def test_quality_on_other_images_is_shown(exact):
    other = Circumstances(same_machine=True, same_data=False)
    assert verdict(exact(38.0), exact(30.0), other) is Verdict.SHOWN


@pytest.mark.parametrize("changed", [{"unit": "%"}, {"better": "higher"}])
def test_another_unit_or_direction_is_no_comparison(ratio, changed):
    change = change_of("b", ratio(LEVEL), ratio(LEVEL + 1, **changed), ALIKE, Spread())
    assert judged([change])[0].verdict is Verdict.SHOWN
    assert "unit" in change.why


@pytest.mark.parametrize("rounds", [[1.0, 1.0, 1.0], [0.0] * 10])
def test_a_ratio_whose_noise_is_unknown_is_not_judged(ratio, rounds):
    with np.errstate(divide="ignore"):
        one = ratio(np.log(np.array(rounds)))
    change = change_of("b", one, one, ALIKE, Spread())
    assert change.why == "its noise is not known"
    assert judged([change])[0].verdict is Verdict.SHOWN


def test_an_interval_stands_in_for_rounds():
    figure = Figure(
        metric="ratio", unit="times", of={}, value=2.0, low=1.8, high=2.2, better="lower"
    )
    found = log_middle(figure)
    assert found.value == pytest.approx(math.log(2))
    assert found.error == pytest.approx(0.05, rel=0.05)


def test_the_difference_of_two_middles_is_welchs():
    one, other = RNG.normal(0, 1, 12), RNG.normal(0, 3, 7)
    middles = [Middle(x.mean(), stats.sem(x), len(x) - 1.0) for x in (one, other)]
    usual = stats.ttest_ind(one, other, equal_var=False)
    error, freedom = pooled(*middles)
    assert freedom == pytest.approx(usual.df)
    assert (one.mean() - other.mean()) / error == pytest.approx(usual.statistic)


def test_holms_correction():
    # By hand: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04 not below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_many_figures_ask_for_more_of_each(ratio):
    rng = np.random.default_rng(5)
    before, after = rng.normal(0, 0.06, (2, 20))
    one = change_of("b", ratio(before), ratio(after + 0.155), ALIKE, Spread())
    same = change_of("b", ratio(before), ratio(before), ALIKE, Spread())
    assert judged([one])[0].verdict is Verdict.WORSE
    assert judged([one] + [same] * 200)[0].verdict is Verdict.PERHAPS


# How far runs lie apart


def test_runs_that_lie_apart_tell_so_and_one_that_changed_does_not(ratio):
    rng = np.random.default_rng(6)
    calm = [ratio(rng.normal(0, 0.01, 40)) for _ in range(8)]
    apart = [ratio(rng.normal(rng.normal(0, 0.1), 0.01, 40)) for _ in range(12)]
    changed = calm[:4] + [ratio(rng.normal(1.0, 0.01, 40)) for _ in range(4)]
    assert spread_of(calm) == Spread()
    assert 0.05 < spread_of(apart).deviation < 0.2
    assert spread_of(apart).freedom == 10
    assert spread_of(changed).deviation < 0.02
    assert spread_of(apart[:3]) == Spread()


def test_noise_within_runs_is_not_taken_for_a_spread_between_them(ratio):
    rng = np.random.default_rng(8)
    found = [
        spread_of([ratio(rng.normal(0, 0.2, 20)) for _ in range(8)]).deviation for _ in range(40)
    ]
    assert np.median(found) == BETWEEN  # the noise moves their middles by 0.045


def test_a_spread_between_runs_keeps_a_change_from_counting(ratio):
    before, after = ratio(LEVEL), ratio(LEVEL + 0.15)
    assert verdict(before, after) is Verdict.WORSE
    change = change_of("b", before, after, ALIKE, Spread(0.1, 9))
    assert judged([change])[0].verdict is Verdict.PERHAPS


def test_a_busy_machine_is_taken_to_spread_its_runs(quiet):
    from msgspec.structs import replace

    busy, unknown = replace(quiet, others=2.0), replace(quiet, others=None)
    assert assumed([quiet, quiet]).deviation == BETWEEN
    assert assumed([busy, quiet]).deviation == pytest.approx(BETWEEN + 2 * BETWEEN_BY_CORE)
    assert assumed([busy, quiet]).share > assumed([quiet]).share == 0
    assert assumed([unknown]).deviation == BETWEEN


def test_a_middle_as_one_of_many_runs():
    wide = widened(Middle(1.0, 0.03, 9), Spread(0.04, 9))
    assert wide.value == 1.0
    restless = widened(Middle(1.0, 0.03, 9, scatter=0.2), Spread(0.02, 9, share=0.1))
    assert restless.error == pytest.approx(0.05)
    assert wide.error == pytest.approx(0.05)
    assert 9 < wide.freedom < 18
    assert widened(Middle(1.0, 0.03, 9), Spread(0.0)).freedom == pytest.approx(9)


def test_the_median_of_runs_is_as_sure_as_theory_says(ratio):
    rng = np.random.default_rng(7)
    spread, errors, medians = Spread(0.05), [], []
    for _ in range(300):
        runs = [ratio(rng.normal(rng.normal(0, 0.05), 0.05, 25)) for _ in range(5)]
        found = median_of(runs, spread)
        errors.append(found.error)
        medians.append(found.value)
    assert np.std(medians) == pytest.approx(np.median(errors), rel=0.15)
