"""Pairs from two folders: what is taken, what is refused and why."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dicoms import make_dicom, save

pytest.importorskip("jinja2", reason="needs the extra [workstation]")
from scanside.benchmarks.study import new as new_module
from scanside.benchmarks.study.cli import study as verb
from scanside.benchmarks.study.pictures import Picture, pair, read_picture
from scanside.benchmarks.study.records import read_key
from scanside.runtime.cubic import double
from scanside.runtime.errors import (
    NoImagesError,
    OutputExistsError,
    PartialError,
    UnsupportedImageError,
)

RANDOM = np.random.default_rng(11)


def picture(**changes) -> Picture:
    values = RANDOM.integers(-1000, 2000, (6, 4)).astype(np.int32)
    return Picture(values=values, modality="CT")._replace(**changes)


def modality_values(one, side: str) -> np.ndarray:
    return getattr(one, side) * one.slope + one.intercept


def test_a_pair_keeps_every_value_and_shares_one_scale():
    a, b = picture(slope=0.5, intercept=3.0), picture(slope=0.5, intercept=3.0)
    one = pair(a, b)
    for side, before in (("a", a), ("b", b)):
        assert np.array_equal(modality_values(one, side), before.values * 0.5 + 3)
    assert (one.level, one.width) == (50, 400)
    assert pair(a._replace(window=(35.0, 80.0)), b)[6:8] == (35, 80)


def test_whole_intercepts_may_differ_and_nothing_else():
    a, b = picture(intercept=-1024.0), picture()
    one = pair(a, b)
    assert np.array_equal(modality_values(one, "a"), a.values - 1024)
    assert np.array_equal(modality_values(one, "b"), b.values)
    wide = np.array([[0, 65536]], np.int32)
    for other, reason in (
        (picture(slope=2.0), "scale"),
        (picture(intercept=0.5), "scale"),
        (picture(inverted=True), "scale"),
        (picture(modality="MR"), "scale"),
        (picture(values=np.zeros((6, 5), np.int32)), "size"),
    ):
        with pytest.raises(UnsupportedImageError) as refused:
            pair(picture(), other)
        assert refused.value.reason == reason
    with pytest.raises(UnsupportedImageError, match="16 bits"):
        pair(picture(values=wide), picture(values=wide))


def test_the_smaller_of_two_is_doubled_within_its_own_range():
    small = picture()
    large = picture(values=RANDOM.integers(-1000, 2000, (12, 8)).astype(np.int32))
    smooth = np.rint(double(small.values.astype(np.float32)))
    expected = np.clip(smooth, small.values.min(), small.values.max())
    assert np.array_equal(modality_values(pair(small, large), "a"), expected)
    assert np.array_equal(modality_values(pair(large, small), "b"), expected)


def test_without_a_window_the_middle_98_percent_are_shown():
    a = Picture(np.arange(101, dtype=np.int32)[None] * 10, slope=2.0)
    one = pair(a, a)
    assert (one.level, one.width) == pytest.approx((1000, 1960))
    flat = Picture(np.zeros((3, 3), np.int32))
    assert pair(flat, flat).width == 1


def test_arrays_are_read_and_refused_by_rule(tmp_path):
    path = tmp_path / "one.npy"
    stack = RANDOM.integers(-9, 9, (3, 4, 5)).astype(">i2")
    np.save(path, stack)
    assert np.array_equal(read_picture(path).values, stack[1])
    for array, reason in (
        (np.zeros((3, 3), np.float32), "dtype"),
        (np.zeros((3, 3), np.int32), "dtype"),
        (np.zeros(3, np.int16), "shape"),
        (np.zeros((0, 3), np.int16), "shape"),
    ):
        np.save(path, array)
        with pytest.raises(UnsupportedImageError) as refused:
            read_picture(path)
        assert refused.value.reason == reason
    # A header that promises a terabyte.
    path.write_bytes(
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<i2', 'fortran_order': False, 'shape': (1000000, 1000000)}".ljust(117)
        + b"\n"
    )
    with pytest.raises(new_module.ImageError, match="not a readable"):
        read_picture(path)


def test_text_that_the_header_calls_burned_in_is_refused(tmp_path):
    path = save(
        make_dicom(np.zeros((4, 4), np.int16), BurnedInAnnotation="YES"), tmp_path / "a.dcm"
    )
    with pytest.raises(UnsupportedImageError, match="burned"):
        read_picture(path)


def test_real_images_of_every_kind(data_dir):
    for name, level_width in (("CT2_J2KR", (35, 80)), ("RG3_J2KR.dcm", (550, 1024))):
        one = read_picture(data_dir / "odd" / name)
        shown = pair(one, one)
        assert (shown.level, shown.width) == level_width
        assert np.array_equal(modality_values(shown, "a"), one.values * one.slope + one.intercept)


def folders(tmp_path: Path, count: int = 6) -> tuple[Path, Path]:
    for folder in ("a", "b"):
        for index in range(count):
            path = tmp_path / folder / "inner" / f"{index}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            words = RANDOM.integers(-100, 100, (8, 8)).astype(np.int16)
            save(make_dicom(words, PatientID=f"P{index // 2}"), path)
    return tmp_path / "a", tmp_path / "b"


def run(*arguments):
    return CliRunner().invoke(verb, [str(one) for one in arguments])


def test_new_pairs_by_name_and_tells_what_it_left_out(tmp_path):
    a, b = folders(tmp_path)
    for folder in (a, b):
        (folder / "README.txt").write_text("no image")
        (folder / ".hidden").write_text("")
    (a / "lonely.dcm").write_bytes(b"")
    save(make_dicom(np.zeros((8, 9), np.int16)), b / "inner" / "5.dcm")
    page = tmp_path / "study.html"
    done = run("new", a, b, "--out", page, "--names", "plain", "better")
    assert isinstance(done.exception, PartialError)
    assert "5 cases of 3 patients, 6 pairs" in done.output
    assert "lonely.dcm: left out: it is in one" in done.output
    assert "5.dcm: left out: size" in done.output
    assert "README" not in done.output
    assert "burned" in done.output
    key = read_key(tmp_path / "study.key.json")
    assert (key.a, key.b) == ("plain", "better")
    assert [case.patient for case in key.cases] == [1, 1, 2, 2, 3]
    assert "P0" not in (tmp_path / "study.key.json").read_text()
    assert (tmp_path / "study.key.json").stat().st_mode & 0o777 == 0o600
    with pytest.raises(OutputExistsError):
        raise run("new", a, b, "--out", page).exception


def test_new_draws_so_many_cases_and_no_two_studies_alike(tmp_path):
    a, b = folders(tmp_path, 12)
    names = []
    for index in range(3):
        done = run("new", a, b, "--out", tmp_path / f"{index}.html", "--cases", 6, "--repeats", 0)
        assert done.exit_code == 0, done.exception
        key = read_key(tmp_path / f"{index}.key.json")
        names.append([case.name for case in key.cases])
        assert (key.a, key.b, len(key.pairs)) == ("a", "b", 6)
    assert names[0] != names[1] or names[1] != names[2]


def test_new_refuses_folders_without_pairs_and_pages_that_are_too_large(tmp_path, monkeypatch):
    a, b = folders(tmp_path, 2)
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, match in ((empty, "no file name in common"), (tmp_path / "absent", "no.* folder")):
        with pytest.raises(NoImagesError, match=match):
            raise run("new", a, folder, "--out", tmp_path / "s.html").exception
    (a / "note").write_text("")
    (empty / "note").write_text("")
    with pytest.raises(NoImagesError, match="no pair"):
        raise run("new", a, empty, "--out", tmp_path / "s.html").exception
    monkeypatch.setattr(new_module, "MAX_PAGE_BYTES", 100)
    with pytest.raises(UnsupportedImageError, match="too large"):
        raise run("new", a, b, "--out", tmp_path / "s.html").exception
    assert not (tmp_path / "s.html").exists()
    assert not (tmp_path / "s.key.json").exists()


def test_open_names_the_page_whether_a_browser_is_there_or_not(tmp_path, monkeypatch):
    page = tmp_path / "s.html"
    with pytest.raises(NoImagesError):
        raise run("open", page).exception
    page.write_text("")
    for found in (True, False):
        monkeypatch.setattr(webbrowser, "open", lambda address, found=found: found)
        done = run("open", page)
        assert page.as_uri() in done.output
        assert ("no browser" in done.output) == (not found)
