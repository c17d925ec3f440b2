"""README's figures: a block that records give, and no figure beside it without its origin."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner
from conftest import REPOSITORY
from made_records import figure, record

from scanside.benchmarks.cli import bench
from scanside.benchmarks.evidence.record import append_record, read_records
from scanside.benchmarks.page.quoted import LINES, Line, Quote
from scanside.benchmarks.page.readme import (
    BEGIN,
    END,
    NOT_MEASURED,
    block,
    find,
    quoted_block,
    rewrite,
)
from scanside.runtime.errors import BenchmarkError

README = REPOSITORY / "README.md"
MEASURED = REPOSITORY / "docs" / "measured.jsonl"
SPEED = re.compile(
    r"(?<![\w.])(?P<limit>(?:at most|at least|under|over|within)\s+)?\d[\d.,]*\s*"
    r"(?:ms|µs|fps|MB|GB|dB|frames(?: a|/| per )\s?s(?:econd)?|times (?:as fast|faster))\b"
)
"""A performance figure: a number with such a unit. A limit is a promise and no measurement."""
DATE = re.compile(r"20\d\d-\d\d-\d\d")
MACHINE = re.compile(r"\b\d+ (?:v?CPUs?|cores?)\b")


def bare_figures(text: str) -> list[str]:
    """Measured figures outside the block in sections that do not name date, machine, data and,
    where decibels are given, the data range."""
    text = text.partition(BEGIN)[0] + text.partition(END)[2]
    found = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        prose = re.sub(r"```.*?```", "", section, flags=re.DOTALL)
        figures = [one.group() for one in SPEED.finditer(prose) if not one.group("limit")]
        named = DATE.search(prose) and MACHINE.search(prose) and "slices" in prose
        if "dB" in prose:
            named = named and re.search(r"over \d+ HU", prose)
        if not named:
            found += figures
    return found


# This README


def test_the_block_is_what_the_committed_records_give():
    assert quoted_block(README.read_text()) == block(read_records(MEASURED))


def test_every_other_figure_names_date_machine_data_and_range():
    assert bare_figures(README.read_text()) == []


def test_the_block_is_short():
    inside = quoted_block(README.read_text()).splitlines()
    assert len([line for line in inside if line.startswith("|")]) <= 17


@pytest.mark.parametrize(
    "text",
    [
        "## A\nIt takes 12 ms.",
        "## A\nIt gives 300 frames a second.",
        "## A\nINT8 is 4.5 times as fast.",
        "## A\n2026-11-23, 4 cores, 28 slices: gains 6.6 dB.",  # no range
        "## A\n4 cores, 28 slices: takes 30 ms.",  # no date
        "## A\n2026-11-23, 28 slices: takes 30 ms.",  # no machine
    ],
)
def test_a_bare_figure_is_found(text):
    assert len(bare_figures(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "## A\nIt loses at most 0.1 dB.",
        f"## A\n{BEGIN}\n12 ms\n{END}",
        "## A\n2026-11-23, 2 cores, 28 slices, PSNR over 4095 HU: 6.6 dB in 30 ms.",
        "## A\n```sh\nsleep # 12 ms\n```",
    ],
)
def test_a_limit_a_quote_and_a_named_figure_are_none(text):
    assert bare_figures(text) == []


# The block


LINE = (Line("a round trip", {"ipc": Quote("peers", "overhead", {"way": "ipc"})}),)


def test_a_figure_comes_with_interval_unit_and_run():
    made = block([record("peers", [figure("overhead", "ms", 2, way="ipc")])], LINE)
    assert "| a round trip | ipc 2 (1.80..2.20) ms | peers |" in made
    source = made.splitlines()[-2]
    for words in ("bench peers", "2026-11-01", "a <made> machine on 2 cores", "4095 HU"):
        assert words in source
    assert made.endswith("not verified on hardware.")


def test_a_missing_figure_is_said_and_never_invented():
    made = block([record("peers", [figure("overhead", "ms", 2, way="tcp")])], LINE)
    assert f"| a round trip | ipc {NOT_MEASURED} |  |" in made
    assert re.findall(r"\d", made.removeprefix("| | measured (95% interval)")) == []


def test_the_latest_run_that_has_it_counts():
    runs = [
        record("peers", [figure("overhead", "ms", 1, way="ipc")], day=1),
        record("peers", [figure("overhead", "ms", 2, way="ipc")], day=2),
        record("peers", [figure("speed", "times", 9, way="ipc")], day=3),
        record("other", [figure("overhead", "ms", 4, way="ipc")], day=4),
    ]
    found = find(LINE[0].parts["ipc"], runs)
    assert found is not None
    assert (found.figure.value, found.record.when[:10]) == (2, "2026-11-02")


def test_two_runs_of_one_benchmark_are_told_apart():
    lines = (
        Line("a", {"x": Quote("peers", "overhead", {})}),
        Line("b", {"y": Quote("peers", "speed", {})}),
    )
    made = block(
        [
            record("peers", [figure("overhead", "ms", 1)], day=1),
            record("peers", [figure("speed", "times", 9)], day=2),
        ],
        lines,
    )
    assert "| a | x 1 (0.9..1.10) ms | peers |" in made
    assert "| b | y 9 (8.10..9.90) x | peers 2 |" in made
    assert "2026-11-01" in made
    assert "2026-11-02" in made


@pytest.mark.parametrize(("pick", "value"), [("lowest", 1), ("highest", 3)])
def test_of_several_the_named_one_is_quoted(pick, value):
    run = record("peers", [figure("a", "ms", one, way=f"w{one}") for one in (2, 1, 3)])
    found = find(Quote("peers", "a", {"way": "w*"}, pick), [run])
    assert found is not None
    assert found.figure.value == value


def test_what_is_quoted_is_named_once():
    assert len({line.what for line in LINES}) == len(LINES)


# Rewriting


def test_only_the_block_is_rewritten(tmp_path):
    readme, history = tmp_path / "README.md", tmp_path / "h.jsonl"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    run = record("peers", [figure("cold start", "s", 0.5, server="Scanside")])
    append_record(history, run)
    words = ["report", "--history", str(history), "--readme", str(readme)]
    result = CliRunner().invoke(bench, words)
    assert result.exit_code == 0, result.output
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "old" not in text
    assert "0.5" in text
    assert quoted_block(text) == block([run])
    assert not rewrite(readme, [run])
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_without_its_markers_a_file_is_left_alone(tmp_path, text):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(BenchmarkError, match="no place"):
        rewrite(readme, [])
    assert readme.read_text() == text
