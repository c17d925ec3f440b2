"""Which records the words of `bench compare` choose."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from scanside.benchmarks.evidence.choosing import alike, read_choice, same_machine
from scanside.runtime.errors import RecordError


@pytest.fixture
def history(run, kept, exact):
    """Two benchmarks in turn, one of them with two bundles and a run on another machine."""

    def one(bench, value, **others):
        return run([exact(value)], bench=bench, commit=f"{value:02d}" + "abcdef0123", **others)

    return kept(
        [
            one("latency", 1, bundle="ct 1 aa"),
            one("drift", 2),
            one("latency", 3, bundle="mr 1 bb"),
            one("latency", 4, bundle="ct 2 cc"),
            one("drift", 5, setting={"level": "40"}),
            one("drift", 6),
        ]
    )


def chosen(word, history):
    return [int(one.figures[0].value) for one in read_choice(word, history)[0]]


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("last", [4, 6]),
        ("previous", [1, 2]),  # run alike: of the same bundle, with the same setting
        ("3", [3]),
        ("-1", [6]),
        ("-5", [2]),
        ("@last", [4, 6]),
        ("@2", [2]),
        ("03abc", [3]),
        ("05abcdef0123", [5]),
    ],
)
def test_words_choose_in_the_default_history(history, word, values):
    assert chosen(word, history) == values


def test_a_file_may_be_named_with_and_without_a_choice(history, tmp_path):
    elsewhere = tmp_path / "none.jsonl"
    assert chosen(str(history), elsewhere) == [4, 6]
    assert chosen(f"{history}@1", elsewhere) == [1]
    assert chosen(f"{history}@previous", elsewhere) == [1, 2]


def test_a_file_whose_name_holds_the_sign(history, tmp_path):
    odd = tmp_path / "a@2.jsonl"
    odd.write_bytes(history.read_bytes())
    assert chosen(str(odd), history) == [4, 6]
    assert chosen(f"{odd}@1", history) == [1]


@pytest.mark.parametrize("word", ["7", "0", "-7", "99abcdef", "@abc"])
def test_what_fits_nothing_is_told(history, word):
    with pytest.raises(RecordError, match="no record"):
        read_choice(word, history)


@pytest.mark.parametrize("word", ["gone.jsonl", "gone.jsonl@1"])
def test_a_file_that_is_not_there_is_told(history, word):
    with pytest.raises(RecordError, match=r"gone\.jsonl cannot be read"):
        read_choice(word, history)


def test_one_run_has_none_before_it(run, kept, exact):
    with pytest.raises(RecordError, match="'previous'"):
        read_choice("previous", kept([run([exact(1.0)])]))


@pytest.mark.parametrize(
    "changed",
    [
        {"bench": "drift"},
        {"bundle": "mr 1 bb"},
        {"data": "other images"},
        {"setting": {"side": "256"}},
    ],
)
def test_runs_are_alike_only_where_nothing_else_differs(run, exact, changed):
    one = run([exact(1.0)], bundle="ct 1 aa")
    again = replace(one, bundle="ct 2 bb", commit="ffffffffffff")
    assert alike([one, again], again) == [one]
    other = replace(one, **changed)
    assert alike([one, other], other) == []


def test_another_version_of_a_library_is_run_alike(run, exact):
    one = run([exact(1.0)], setting={"engine": "onnxruntime 1.31.1", "fastapi": "0.1.0"})
    newer = replace(one, setting={"engine": "onnxruntime 1.32.0rc1", "fastapi": "0.2.0"})
    assert alike([one, newer], newer) == [one]
    for setting in (
        {"engine": "openvino 1.31.1", "fastapi": "0.1.0"},
        {"engine": "onnxruntime 1.31.1"},
    ):
        other = replace(one, setting=setting)
        assert alike([one, other], other) == []


def test_a_machine_is_told_from_another(quiet, run, exact):
    one = run([exact(1.0)])
    same = replace(quiet, memory_mb=8012, python="3.12.1", versions={}, system="Linux 7 x86_64")
    assert same_machine(one, replace(one, machine=same))
    for changed in (
        {"name": "another"},
        {"cores": [0, 1, 2]},
        {"memory_mb": 16000},
        {"power": {"mode": "15W"}},
    ):
        assert not same_machine(one, replace(one, machine=replace(quiet, **changed)))
