"""Records: written whole, read back, refused where they cannot be understood."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from scanside.benchmarks.evidence.machine import busy_cores
from scanside.benchmarks.evidence.paired import blocks_of
from scanside.benchmarks.evidence.record import append_record, new_record, read_records
from scanside.runtime.errors import RecordError


def test_what_is_appended_is_read_back(run, exact, kept):
    runs = [run([exact(value)]) for value in (1.0, 2.0)]
    assert read_records(kept(runs)) == runs


def test_a_line_that_a_crash_cut_off_costs_that_line_alone(run, exact, kept):
    path = kept([run([exact(1.0)])])
    path.write_bytes(path.read_bytes() + b'{"format":1,"ben')
    append_record(path, run([exact(2.0)]))
    with pytest.raises(RecordError, match="line 2 of"):
        read_records(path)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], lines[2]]))
    assert [one.figures[0].value for one in read_records(path)] == [1.0, 2.0]


def test_a_newer_format_is_refused(run, exact, kept):
    with pytest.raises(RecordError, match="format 2"):
        read_records(kept([run([exact(1.0)], format=2)]))


def test_what_json_has_no_word_for_is_left_out_and_told(exact, ratio, kept):
    whole, broken = exact(1.0, name="whole"), exact(math.nan, name="broken")
    interval = replace(exact(2.0, name="alone"), low=math.nan, high=math.inf)
    gap = replace(exact(3.0, name="gap"), rounds=[1.0, math.nan])
    record = new_record("made up", [whole, broken, interval, gap])
    assert record.figures == [
        whole,
        replace(interval, low=None, high=None),
        replace(gap, rounds=[]),
    ]
    assert record.notes == ["left out, no number: stage=broken, psnr"]
    assert read_records(kept([record])) == [record]


def test_a_figure_that_is_given_twice_is_kept_once_and_told(exact):
    record = new_record("made up", [exact(1.0), exact(2.0)], notes=["short"])
    assert [one.value for one in record.figures] == [1.0]
    assert record.notes == ["short", "given twice, kept once: stage=x, psnr"]


def test_others_on_the_machine_are_counted_in_cores(tmp_path, monkeypatch):
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 0 5000 0 0 0 0 0 0\ncpu0 1 2 3\n")
    ticks = {"user": 130, "nice": 10, "system": 20, "irq": 5, "steal": 35}

    def sleep(seconds):
        stat.write_text(
            f"cpu  {ticks['user']} {ticks['nice']} {ticks['system']} 9000 777 {ticks['irq']} 0 "
            f"{ticks['steal']} 0 0\n"
        )

    clock = iter([10.0, 10.5])
    monkeypatch.setattr("scanside.benchmarks.evidence.machine.time.sleep", sleep)
    monkeypatch.setattr("scanside.benchmarks.evidence.machine.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("scanside.benchmarks.evidence.machine.os.sysconf", lambda name: 100)
    assert busy_cores(0.5, stat) == pytest.approx((200 - 100) / 100 / 0.5)


@pytest.mark.parametrize("text", [None, "", "cpu one two\n"])
def test_a_kernel_that_does_not_say_is_not_guessed_at(tmp_path, text):
    stat = tmp_path / "stat"
    if text is not None:
        stat.write_text(text)
    assert busy_cores(0.0, stat) is None


def test_a_long_run_is_kept_in_blocks():
    import numpy as np

    times = np.arange(200.0)[:, None] + np.array([0.0, 0.5, 100.0])
    found = blocks_of(times, 40)
    assert found.shape == (40, 1)
    assert found[0, 0] == np.median(times[:5])
    assert len(blocks_of(times[:3], 40)) == 3
