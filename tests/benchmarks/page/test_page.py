"""The report: what it shows of which run, and that it needs nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_records import figure, record
from msgspec.structs import replace

from scanside.benchmarks.cli import bench
from scanside.benchmarks.evidence.record import append_record
from scanside.benchmarks.page.latest import sections
from scanside.benchmarks.page.numbers import digits, with_interval
from scanside.benchmarks.page.page import NAMES, write_page
from scanside.benchmarks.page.sheets import FOLDED, sheets
from scanside.benchmarks.page.verdicts import MET, MISSED, UNSURE, bars, judgements

NEAR = {"model": "near-identity", "side": "512"}
SHM = {"transport": "shm", "side": "512", "cores": "2"}
TCP = {"contender": "Scanside, tcp", **NEAR}
EVERY = [
    record("latency", [figure("p50", "ms", value, engine=f"e{value}") for value in (3, 4)]),
    record("gaps", [figure("excess tail", "times", 1.05, transport="ipc")]),
    record("serving", [figure("round trip", "times", 1.2, transport="shm", **NEAR)]),
    record("drift", [figure("total", "dB", -0.03, "higher", stage="model.cpu.onnx on a")]),
    record(
        "pareto",
        [
            made
            for name, ms, db in (("n1", 10, 41), ("n2", 20, 42))
            for made in (
                figure("p50", "ms", ms, network=name),
                figure("psnr", "dB", db, "higher", network=name, level="40 HU"),
            )
        ],
    ),
    record("peers", [figure("overhead", "ms", 1.1, contender="Scanside, ipc", **NEAR)]),
    record(
        "scale",
        [
            figure(metric, "frames/s", 100.0 * count, **SHM, clients=str(count))
            for metric in ("rate", "p99")
            for count in (1, 2, 4)
        ],
    ),
    record("brand-new", [figure("sparkle", "glints", 7, "higher", of_what="moon<light>")]),
]


VOID = ("meta", "br", "img", "link", "use", "path", "rect", "hr", "input")


class Reader(HTMLParser):
    """Tags that stay open, and everything that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "action") or (
                name in ("href", "xlink:href") and not str(value).startswith("#")
            ):
                self.fetched.append(f"{tag} {value}")
            if name == "id":
                self.ids.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "new" / "report.html"
    write_page(path, EVERY)
    return path.read_text()


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def test_the_page_is_whole_and_asks_for_nothing(page):
    reader = read(page)
    assert reader.open == []
    assert reader.fetched == []
    assert "script" not in reader.tags
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'" in page


def test_names_in_the_pictures_are_their_own_and_are_found(page):
    ids = read(page).ids
    assert len(ids) == len(set(ids))
    for name in re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', page):
        assert "".join(name) in ids


def test_every_benchmark_has_its_section_and_its_picture(page):
    for name in [*NAMES, "brand-new"]:
        assert f'<h2 id="{name}">' in page
    assert page.count("<figure>") == page.count("<svg")
    for name in ("latency", "pareto", "scale"):
        part = page.split(f'<h2 id="{name}">')[1].split("<section>")[0]
        assert "<svg" in part, name
    assert "currentColor" in page


def test_what_was_not_measured_is_said(page):
    part = page.split('<h2 id="quality">')[1].split("<section>")[0]
    assert "Not measured" in part


def test_a_figure_of_an_unknown_benchmark_gets_a_table(page):
    part = page.split('<h2 id="brand-new">')[1]
    assert "<th>sparkle, glints</th>" in part
    assert "7 (6.30..7.70)" in part
    assert "moon&lt;light&gt;" in part


def test_each_run_names_its_machine_date_code_and_data(page):
    for words in ("a &lt;made&gt; machine", "0123456789ab", "2026-11-01", "data range 4095 HU"):
        assert page.count(words) >= len(EVERY)
    assert page.count("not verified on hardware") == len(EVERY)


def test_the_latest_run_of_each_bundle_is_shown_newest_first():
    records = [
        record("drift", [], bundle="a", day=1),
        record("drift", [], bundle="b", day=2),
        record("drift", [], bundle="a", day=3),
        record("later", [], day=4),
    ]
    found = {one.bench: [run.when[8:10] for run in one.records] for one in sections(records)}
    assert found["drift"] == ["03", "02"]
    assert found["scale"] == []
    assert list(found)[-1] == "later"


def test_a_table_has_a_row_for_each_thing_and_a_column_for_each_metric():
    (sheet,) = sheets(
        [
            figure("p50", "ms", 2, way="ipc", side="512"),
            figure("p99", "ms", 4, way="ipc", side="512"),
            figure("p50", "ms", 3, way="tcp", side="512"),
        ]
    )
    assert sheet.common == "side 512"
    assert (sheet.names, sheet.headings) == (["way"], ["p50, ms", "p99, ms"])
    assert sheet.rows == [
        ["ipc", "2 (1.80..2.20)", "4 (3.60..4.40)"],
        ["tcp", "3 (2.70..3.30)", ""],
    ]
    many = sheets([figure("p50", "ms", 2, way=str(number)) for number in range(FOLDED + 1)])
    assert many[0].folded
    assert not sheet.folded


def test_figures_of_other_keys_get_a_table_of_their_own():
    found = sheets([figure("a", "ms", 1, way="ipc"), figure("a", "ms", 1, engine="x")])
    assert len(found) == 2


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (41.6967, "dB", "41.70"),
        (-0.0142, "dB", "-0.014"),
        (0.98764, "", "0.9876"),
        (12345.6, "ms", "12,346"),
        (1.0, "ms", "1"),
        (0.01234, "ms", "0.0123"),
        (12.34, "ms", "12.3"),
        (float("inf"), "times", "no number"),
    ],
)
def test_figures_have_the_digits_that_mean_something(value, unit, words):
    assert digits(value, unit) == words


def test_an_interval_stands_in_brackets():
    assert with_interval(figure("p50", "ms", 10.5)) == "10.5 (9.45..11.6)"
    for end in (None, 10.5):
        alone = replace(figure("p50", "ms", 10.5), low=end, high=end)
        assert with_interval(alone) == "10.5"


# Bars


@pytest.mark.parametrize(("value", "verdict"), [(0.5, MET), (3.0, MISSED), (2.0, UNSURE)])
def test_a_bar_is_held_against_value_and_interval(value, verdict):
    run = record("serving", [figure("round trip", "times", value, transport="ipc", **NEAR)])
    assert [one.verdict for one in judgements(run, bars())] == [verdict]


@pytest.mark.parametrize(("value", "verdict"), [(3.0, MISSED), (20.0, MET)])
def test_of_the_engines_the_fastest_is_judged(value, verdict):
    run = record(
        "peers",
        [
            figure("speed", "times", value, "higher", engine="OpenVINO, INT8, pruned"),
            figure("speed", "times", 1.0, "higher", engine="ONNX Runtime, INT8, pruned"),
            figure("speed", "times", 50.0, "neither", engine="somebody else's"),
        ],
    )
    (found,) = judgements(run, bars())
    assert found.verdict == verdict
    assert "OpenVINO" in found.what


def test_the_loss_on_the_engines_has_a_bar():
    losses = {"model.cpu.onnx on openvino": -0.08, "model.cpu.onnx on onnxruntime": -0.3}
    found = {**losses, "INT8, eager": -9.0}
    run = record(
        "drift", [figure("total", "dB", db, "higher", stage=of) for of, db in found.items()]
    )
    assert [one.verdict for one in judgements(run, bars())] == [MET, MISSED]


def test_of_the_filters_the_best_in_quality_is_judged():
    run = record(
        "peers",
        [
            made
            for name, slower, db in (("good and quick", 5, 40), ("poor and slow", 50, 30))
            for made in (
                figure("time", "times", slower, "higher", method=name),
                figure("psnr", "dB", db, "neither", method=name),
            )
        ],
    )
    (found,) = judgements(run, bars())
    assert found.verdict == MISSED
    assert "good and quick" in found.what


def test_overheads_have_the_bars_of_the_peers():
    run = record(
        "peers",
        [
            figure("overhead ratio", "times", 0.5, against="PyTriton, HTTP", **TCP),
            figure("overhead ratio", "times", 0.5, against="FastAPI, raw bytes, tcp", **TCP),
            figure("overhead ratio", "times", 9, against="PyTriton, gRPC and shared memory", **TCP),
        ],
    )
    assert [one.verdict for one in judgements(run, bars())] == [MISSED, MET]


def test_what_is_no_near_identity_model_has_no_bar():
    other = {"model": "u-net", "side": "512"}
    run = record("serving", [figure("round trip", "times", 9, transport="ipc", **other)])
    assert judgements(run, bars()) == []


def test_a_verdict_in_the_notes_is_a_verdict():
    run = record("gaps", [], notes=["MISSED the tail: 1.4", "met    the rest", "left out: x"])
    assert [one.verdict for one in judgements(run, bars())] == [MISSED, MET]


# The verb


def test_the_verb_writes_the_page_beside_the_history(tmp_path: Path):
    history = tmp_path / "history.jsonl"
    for one in EVERY:
        append_record(history, one)
    result = CliRunner().invoke(bench, ["report", "--history", str(history)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_without_a_history_it_says_what_to_do(tmp_path: Path):
    from scanside.runtime.errors import RecordError

    result = CliRunner().invoke(bench, ["report", "--history", str(tmp_path / "none.jsonl")])
    assert isinstance(result.exception, RecordError)
    assert not (tmp_path / "report.html").exists()
