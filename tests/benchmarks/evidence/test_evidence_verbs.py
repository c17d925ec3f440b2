"""`bench compare` and `bench history` as a user calls them."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

pytest.importorskip("matplotlib", reason="needs the extra [workstation]")

from scanside.benchmarks.cli import bench
from scanside.benchmarks.evidence import repeats
from scanside.benchmarks.evidence.record import append_record, read_records
from scanside.runtime import cli
from scanside.runtime.errors import BenchmarkError, RecordError, RegressionError

RNG = np.random.default_rng(0)
RED = "#c0392b"
MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!doctype html>"}


@pytest.fixture
def runs(run, ratio, exact, quiet):
    """Four runs, the last one worse: a ratio by 20%, and 0.1 dB; the first on another machine."""

    def one(number, shift=0.0, loss=0.0):
        logs = RNG.normal(0, 0.01, (3, 40))
        logs[1] += shift
        machine = replace(quiet, name="an older machine") if number == 0 else quiet
        return run(
            [
                *(ratio(logs[at], f"engine {at}") for at in range(3)),
                exact(38.4 - loss),
                exact(12.0 + number, "ms", "p50", "lower"),
                exact(600.0, "calls", "calls", "lower"),
            ],
            commit=f"{number}bcdef012345",
            when=f"2026-11-2{number}T06:00:00+00:00",
            machine=machine,
        )

    return [one(0), one(1), one(2), one(3, 0.2, 0.1)]


def call(*words):
    return CliRunner().invoke(bench, [str(word) for word in words], env={"COLUMNS": "160"})


def test_a_regression_ends_with_its_own_exit_code(runs, kept, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "compare", "--history", str(kept(runs))])
    assert ended.value.code == 19
    said = capsys.readouterr()
    assert "2 figures got worse beyond the noise of both runs: latency: engine 1: ratio" in said.err
    assert "next: " in said.err


def test_compare_prints_every_change_beside_its_noise(runs, kept, tmp_path):
    found = call("compare", "--history", kept(runs))
    assert isinstance(found.exception, RegressionError)
    row = next(line for line in found.output.splitlines() if "engine 1" in line)
    change = re.search(r"\+(\d+\.\d)% \(\+(\d+)\.\.\+(\d+)\).*REGRESSED", row)
    assert change
    middle, low, high = map(float, change.groups())
    assert low < middle < high
    assert middle == pytest.approx(22.1, abs=2)
    assert "2bcdef012345" in found.output
    assert "3bcdef012345" in found.output
    assert "shown, not judged: 1 by the clock" in found.output
    assert "-0.1 dB" in found.output
    assert "p50" not in found.output
    assert (tmp_path / "compare.png").read_bytes().startswith(MAGIC["png"])
    assert "calls" in call("compare", "--history", kept(runs, "again.jsonl"), "--all").output


@pytest.mark.parametrize(("words", "bad"), [(("1", "2"), False), (("2bcd", "@-1"), True)])
def test_compare_takes_any_two_runs(runs, kept, words, bad):
    found = call("compare", *words, "--history", kept(runs))
    assert isinstance(found.exception, RegressionError) is bad
    assert bad or found.exit_code == 0, found.output


def test_compare_takes_two_files(runs, kept):
    old, new = kept(runs[:3], "old.jsonl"), kept(runs[3:], "new.jsonl")
    plot = ("--plot", old.parent / "new folder" / "a.svg")
    assert isinstance(call("compare", old, new, *plot).exception, RegressionError)
    assert call("compare", f"{old}@2", f"{old}@3", *plot).exit_code == 0


def test_a_change_that_is_less_than_what_matters_passes(runs, kept):
    runs[-1] = replace(runs[-1], figures=runs[-1].figures[:3])
    history = kept(runs)
    assert call("compare", "--history", history, "--least", "30").exit_code == 0
    assert isinstance(call("compare", "--history", history).exception, RegressionError)


@pytest.mark.parametrize("ending", list(MAGIC))
def test_pictures_are_written_whole_in_each_form(runs, kept, tmp_path, ending):
    history = kept(runs[:3])
    for verb in ("compare", "history"):
        path = tmp_path / f"{verb}.{ending}"
        found = call(verb, "--history", history, "--plot", path)
        assert found.exit_code == 0, found.output
        assert path.read_bytes().startswith(MAGIC[ending])
        assert f"picture: {path}" in found.output.replace("\n", "")
        if ending != "png":
            text = path.read_text()
            assert "engine 1" in text
            assert "http" not in re.sub(
                r'(xmlns[^=]*|xml:\w+|rdf:\w+)="[^"]*"|DTD.*', "", text
            ).replace("http://www.w3.org", "").replace("https://matplotlib.org", "")


def test_history_marks_commits_and_machines(runs, kept, tmp_path):
    path = tmp_path / "history.svg"
    found = call("history", "--history", kept(runs), "--plot", path)
    assert isinstance(found.exception, RegressionError)
    text = path.read_text()
    for words in ("0bcdef0", "3bcdef0", "● an older machine, 2 cores", "■ a machine, 2 cores"):
        assert words in text
    row = next(line for line in found.output.splitlines() if "engine 1" in line)
    assert re.search(r"[▁▂▃▄▅▆▇█]{4}.*\+2\d\.\d%.*REGRESSED", row)


def test_a_regression_is_red_in_the_pictures(runs, kept, tmp_path):
    for verb in ("compare", "history"):
        clean, bad = tmp_path / f"{verb}-clean.svg", tmp_path / f"{verb}.svg"
        call(verb, "--history", kept(runs[:3], f"{verb}1.jsonl"), "--plot", clean)
        call(verb, "--history", kept(runs, f"{verb}2.jsonl"), "--plot", bad)
        assert RED not in clean.read_text()
        assert RED in bad.read_text()


def test_a_rate_that_fell_is_shown_as_fallen(run, ratio, kept):
    logs = RNG.normal(0, 0.01, (2, 40))
    before, after = (run([ratio(one, better="higher")]) for one in (logs[0], logs[1] - 0.2))
    found = call("compare", "--history", kept([before, after]))
    assert re.search(r"-1[78]\.\d% \(-\d+\.\.-1\d\).*REGRESSED", found.output)


def test_history_shows_what_it_was_asked_for(runs, kept, tmp_path):
    plot = ("--plot", tmp_path / "a.png")
    found = call("history", "--history", kept(runs), "--of", "engine=engine 2", *plot)
    assert found.exit_code == 0, found.output
    assert "engine 2" in found.output
    assert "engine 1" not in found.output
    found = call("history", "--history", tmp_path / "history.jsonl", "--metric", "p50", *plot)
    assert found.exit_code == 0
    assert "15 ms" in found.output


def test_a_filter_that_fits_nothing_is_told(runs, kept):
    found = call("history", "--history", kept(runs), "--of", "engine=none")
    assert isinstance(found.exception, RecordError)
    assert call("history", "--history", kept(runs, "b.jsonl"), "--of", "engine").exit_code == 2


def test_a_picture_of_an_unknown_form_is_refused_before_any_work(tmp_path):
    for verb in ("compare", "history"):
        found = call(verb, "--history", tmp_path / "none.jsonl", "--plot", "a.pdf")
        assert isinstance(found.exception, BenchmarkError)
        assert "a.pdf" in str(found.exception)


def test_the_example_of_a_first_run_says_what_to_do(tmp_path):
    found = call("compare", "--history", tmp_path / "none.jsonl")
    assert isinstance(found.exception, RecordError)
    assert "run a benchmark first" in found.exception.next_step


def test_a_name_with_brackets_is_shown_as_it_is(run, exact, kept):
    history = kept([run([exact(value, name="odd [bold] name")]) for value in (1.0, 0.5)])
    assert "odd [bold] name" in call("compare", "--history", history).output


def test_many_new_figures_are_counted_and_all_are_named_when_asked(run, exact, kept):
    history = kept([run([]), run([exact(1.0, name=f"stage {at}") for at in range(25)])])
    found = call("compare", "--history", history)
    assert found.exit_code == 0, found.output
    assert found.output.count("new: latency: stage") == 20
    assert "new: 5 more: --all" in found.output
    assert "no figure is in both" in found.output
    assert call("compare", "--history", history, "--all").output.count("new: latency: stage") == 25


def test_figures_by_the_hundred_are_drawn_and_counted(run, ratio, kept, tmp_path):
    def one():
        logs = RNG.normal(0, 0.01, (120, 10))
        return run([ratio(logs[at], f"engine {at}") for at in range(120)])

    history = kept([one(), one()])
    found = call("compare", "--history", history, "--plot", tmp_path / "a.svg")
    assert found.exit_code == 0, found.output
    assert "70 more are not drawn" in (tmp_path / "a.svg").read_text()
    assert call("history", "--history", history, "--plot", tmp_path / "b.svg").exit_code == 0


# The judge's own check


def test_the_repeats_measure_the_real_engines(tmp_path):
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    history = tmp_path / "repeats.jsonl"
    append_record(history, repeats.run_once(6, 0.0))
    append_record(history, repeats.run_once(6, 0.5))
    one, planted = read_records(history)
    ratios = [figure for figure in one.figures if figure.unit == "times"]
    assert [figure.of["side"] for figure in ratios] == [str(side) for side in repeats.SIDES]
    assert all(len(figure.rounds) == 6 and figure.low <= figure.high for figure in ratios)
    assert [figure.name for figure in one.figures] == [figure.name for figure in planted.figures]
    assert one.notes == []
    assert planted.notes == [f"planted: +50% in {ratios[-1].of['engine']} at {repeats.SIDES[-1]}"]


def test_a_planted_delay_is_its_share_of_a_call():
    def call():
        time.sleep(0.004)
        return np.zeros(1)

    slowed = repeats._slower(call, 0.5)
    start = time.perf_counter()
    slowed()
    assert time.perf_counter() - start >= 0.006  # however busy the machine is


def test_the_judges_check_fails_on_a_false_alarm_and_on_a_miss(run, ratio, quiet, capsys):
    def one(shift=0.0, machine=quiet):
        figures = [ratio(RNG.normal(shift, 0.01, 40), side) for side in ("a", "b")]
        return run(figures, machine=machine)

    plain = [one() for _ in range(4)]
    repeats.report(plain, [one(0.2)], 0.2)
    assert "0 of    3  false alarms, each run against the one before" in capsys.readouterr().out
    repeats.report(plain, [one(0.0)], 0.02)  # smaller than what it says that it sees
    with pytest.raises(BenchmarkError, match="missed"):
        repeats.report(plain, [one(0.0)], 0.2)
    with pytest.raises(BenchmarkError, match="alarmed"):
        repeats.report([*plain, one(0.3), *(one() for _ in range(4))], [one(0.5)], 0.2)
    with pytest.raises(BenchmarkError, match="busy in 1 of 5 runs"):
        repeats.report([*plain[1:], one(machine=replace(quiet, others=2.0))], [one(0.2)], 0.2)
