"""Histories: the latest run against the run before it and against those before that."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from scanside.benchmarks.evidence.compare import compare
from scanside.benchmarks.evidence.shown import small_drawing
from scanside.benchmarks.evidence.timeline import Wanted, review
from scanside.runtime.errors import RecordError

RNG = np.random.default_rng(0)


@pytest.fixture
def level(ratio, run):
    """level(log, ...): a run of two engines whose second lies at that level."""

    def made(at, noise=0.01, **others):
        logs = RNG.normal(0, noise, (2, 40))
        return run([ratio(logs[0], "steady"), ratio(logs[1] + at, "other")], **others)

    return made


def against(found):
    return sorted((one.after.of["engine"], one.against) for one in found.regressions)


def test_a_sudden_loss_is_worse_than_both(level):
    found = review([*(level(0.0) for _ in range(5)), level(0.2)], Wanted())
    assert against(found) == [("other", "the median of 5 runs"), ("other", "the run before")]


def test_a_creeping_loss_shows_against_the_median_alone(level):
    runs = [level(0.0), *(level(0.045 * step) for step in range(6))]
    found = review(runs, Wanted())
    assert against(found) == [("other", "the median of 5 runs")]
    assert compare([runs[-2]], [runs[-1]]).regressions == []


def test_a_loss_that_stays_alarms_until_it_is_the_median(level):
    runs = [*(level(0.0) for _ in range(5)), *(level(0.2) for _ in range(4))]
    alarms = [bool(review(runs[: end + 1], Wanted()).regressions) for end in range(1, len(runs))]
    assert alarms == [False] * 4 + [True, True, True, False]


def test_two_runs_have_no_median(level):
    found = review([level(0.0), level(0.0), level(0.0)], Wanted())
    assert {one.against for one in found.changes} == {"the run before"}


def test_runs_of_other_machines_and_bundles_do_not_count(level, quiet):
    other = replace(quiet, name="a faster one")
    runs = [
        level(0.2),
        *(level(0.0, machine=other) for _ in range(4)),
        level(0.0, bundle="mr 1 aa"),
        level(0.2),
    ]
    found = review(runs, Wanted())
    assert found.regressions == []
    assert {one.against for one in found.changes} == {"the run before"}
    assert len(found.runs["latency"]) == 7  # they are drawn


def test_a_first_run_has_nothing_to_be_judged_by(level):
    found = review([level(0.0)], Wanted())
    assert found.changes == []
    assert found.notes == ["latency: nothing was run alike before: nothing to judge it by"]


def test_only_what_was_asked_for_is_judged_and_drawn(level, exact, run):
    runs = [level(0.0), level(0.2), run([exact(1.0)], bench="drift")]
    for wanted, names in (
        (Wanted(of={"engine": "steady"}), ["steady: ratio"]),
        (Wanted(metrics=frozenset({"psnr"})), ["x: psnr"]),
        (Wanted(benches=frozenset({"drift"})), ["x: psnr"]),
        (Wanted(), ["steady: ratio", "other: ratio", "x: psnr"]),
        (Wanted(of={"engine": "none"}), []),
    ):
        found = review(runs, wanted)
        assert [line.name for line in found.lines] == names
        assert bool(found.regressions) is ("other: ratio" in names)


def test_a_figure_that_went_missing_is_told(level, run):
    whole = level(0.0)
    found = review([whole, replace(whole, figures=whole.figures[:1])], Wanted())
    assert "missing: latency: other: ratio" in found.notes


def test_lines_know_which_runs_have_them(level):
    whole = level(0.0)
    found = review([whole, replace(whole, figures=whole.figures[:1]), level(0.0)], Wanted())
    assert [line.places for line in found.lines] == [[0, 1, 2], [0, 2]]


@pytest.mark.parametrize(
    ("values", "drawn"),
    [([1.0, 2.0, 3.0], "▁▅█"), ([5.0, 5.001], "▅▅"), ([0.0, 0.0], "▅▅"), ([3.0, 1.0], "█▁")],
)
def test_a_small_drawing_goes_from_lowest_to_highest(values, drawn):
    assert small_drawing(values) == drawn


# Two sides that do not fit


def test_missing_and_new_figures_are_told(level, exact):
    one = level(0.0)
    other = replace(one, figures=[one.figures[0], exact(1.0)])
    found = compare([one], [other])
    assert found.missing == ["latency: other: ratio"]
    assert found.new == ["latency: x: psnr"]
    assert len(found.changes) == 1


def test_benchmarks_that_only_one_side_ran_are_told(level):
    one, other = level(0.0), level(0.0)
    found = compare([one, level(0.0, bench="a")], [other, level(0.0, bench="b")])
    assert found.notes == ["a was run before only", "b was run after only"]


def test_what_has_nothing_in_common_is_no_comparison(level):
    with pytest.raises(RecordError, match="no benchmark in common: a and b"):
        compare([level(0.0, bench="a")], [level(0.0, bench="b")])


def test_a_run_is_not_compared_with_itself(level):
    one = level(0.0)
    with pytest.raises(RecordError, match="the same run"):
        compare([one], [one])


def test_what_else_differs_is_noted(level, quiet):
    machine = replace(quiet, name="another", versions={"numpy": "2.1"}, others=0.5)
    found = compare([level(0.0)], [level(0.0, machine=machine, data="b", setting={"side": "9"})])
    notes = "\n".join(found.notes)
    for words in (
        "another machine (a machine, 2 cores; another, 2 cores)",
        "other images",
        "side not set, then 9",
        "numpy 2.0 -> 2.1",
        "others kept 0.5 cores busy: their doing is taken to move ratios by 2%",
    ):
        assert words in notes


def test_a_busy_machine_hides_what_a_quiet_one_shows(level, quiet):
    busy = replace(quiet, others=0.9)
    assert compare([level(0.0)], [level(0.15)]).regressions
    assert not compare([level(0.0)], [level(0.15, machine=busy)]).regressions
    assert not compare([level(0.0, machine=busy)], [level(0.15)]).regressions
    assert compare([level(0.0)], [level(0.5, machine=busy)]).regressions


def test_on_a_crowded_machine_ratios_are_shown_and_quality_is_judged(level, exact, quiet):
    crowd = replace(quiet, others=1.1)  # of 2 cores that the run had
    for machines in ((quiet, crowd), (crowd, quiet)):
        one, other = (
            level(at, machine=machine) for at, machine in zip((0, 2), machines, strict=True)
        )
        one.figures.append(exact(38.0))
        other.figures.append(exact(37.0))
        found = compare([one], [other])
        assert [change.after.metric for change in found.regressions] == ["psnr"]
        assert {change.why for change in found.changes} == {"", "others kept the machine busy"}
        assert any("its ratios are no evidence" in note for note in found.notes)
        assert [change.after.metric for change in review([one, other], Wanted()).regressions] == [
            "psnr"
        ]


def test_a_crowded_run_in_a_history_neither_alarms_nor_hides(level, quiet):
    crowd = replace(quiet, others=2.0)
    runs = [*(level(0.0) for _ in range(5)), level(0.3, machine=crowd)]
    assert review(runs, Wanted()).regressions == []
    runs += [level(-0.3, machine=crowd), level(0.3)]
    assert against(review(runs, Wanted())) == [("other", "the median of 5 runs")]


def test_crowded_runs_are_no_part_of_a_median(level, quiet):
    crowd = replace(quiet, others=2.0)
    runs = [level(0.0), level(0.0), *(level(-1.0, machine=crowd) for _ in range(3))]
    runs += [level(0.0) for _ in range(2)]
    assert review(runs, Wanted()).regressions == []


def test_crowded_runs_tell_nothing_of_how_far_runs_lie_apart(level, quiet):
    crowd = replace(quiet, others=2.0)
    runs = []
    for number in range(6):
        runs += [level(0.0), level((-1.0) ** number, machine=crowd)]
    assert against(review([*runs, level(0.0), level(0.2)], Wanted())) == [
        ("other", "the median of 5 runs"),
        ("other", "the run before"),
    ]


def test_the_spread_of_earlier_runs_hides_what_they_show_anyway(level):
    earlier = [level(0.1 * (-1) ** number) for number in range(8)]
    before, after = level(0.0), level(0.2)
    assert compare([before], [after]).regressions
    assert not compare([before], [after], [*earlier, before, after]).regressions
