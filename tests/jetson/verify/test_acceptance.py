"""`scanside device verify`: what it measures, and what it may claim."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from acceptance import PageText, found, run
from bundles import make_manifest, make_members
from scanside.compile.pack import write_bundle
from scanside.jetson.cli import device as verbs
from scanside.jetson.machine import Machine
from scanside.jetson.verify.acceptance import checks_of
from scanside.jetson.verify.facts import read_moment, read_unit
from scanside.jetson.verify.record import InMode, Soak, headline
from scanside.runtime.errors import DeviceError, GoldenMismatchError


def test_on_a_machine_that_is_no_jetson_the_first_line_says_so(
    tmp_path: Path, bundle: Path
) -> None:
    (tmp_path / "root").mkdir()
    result = run(tmp_path / "root", bundle, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Not verified on hardware: this machine is no Jetson")
    file, evidence = found(tmp_path / "out")
    assert json.loads(file.read_text())["evidence"]["headline"] == evidence.headline
    assert next(iter(json.loads(file.read_text())["evidence"])) == "headline"
    assert evidence.passed
    assert [mode.asked for mode in evidence.modes] == [None]
    assert {check.what for check in evidence.checks if check.passed is None} == {
        "99th percentile within the deadline, with and without pauses",
        "no throttling",
        "no over-current",
        "as fast at the soak's end as at its beginning",
        "the plan works on INT8",
    }
    text = file.with_suffix(".html").read_text()
    assert "Not verified on hardware" in text
    assert "passed, on no Jetson" in text


def test_every_allowed_mode_is_run_read_back_and_the_first_is_put_back(
    root: Path, tmp_path: Path, bundle: Path
) -> None:
    """40W asks for a reboot and is refused: said, not passed over. Nobody asks for MAXN_SUPER."""
    result = run(root, bundle, tmp_path / "out")
    assert result.exit_code != 0
    _, evidence = found(tmp_path / "out")
    assert [(mode.asked, mode.reached) for mode in evidence.modes] == [
        ("10W", "10W"),
        ("15W", "15W"),
        ("25W", "25W"),
        ("40W", "25W"),
    ]
    assert [bool(mode.missed) for mode in evidence.modes] == [False, False, False, True]
    asked = (root / "run/asked").read_text().split("\n")
    assert asked[:5] == ["1", "2", "3", "4", "reboot? no"]
    assert "0" not in asked
    assert (root / "run/mode").read_text() == "3\n"
    assert not evidence.passed
    assert "not reached: 40W" in evidence.checks[0].figure
    for mode in evidence.modes[:3]:
        assert None not in (mode.golden, mode.before)
        assert mode.steady is not None
        assert mode.gaps is not None
        assert mode.after is not None
        assert (mode.steady.gap_s, mode.gaps.gap_s) == (0.0, 0.5)
        assert mode.steady.median_ms <= mode.steady.p95_ms <= mode.steady.worst_ms
        assert (mode.after.celsius, mode.after.gpu_mhz) == (51.25, (918.0,))
        assert mode.after.mode == mode.asked


def test_what_it_claims_of_a_jetson_on_a_cpu_engine(
    root: Path, tmp_path: Path, bundle: Path
) -> None:
    result = run(root, bundle, tmp_path / "out", "--mode", "15W")
    assert result.exit_code == 0, result.output
    file, evidence = found(tmp_path / "out")
    assert evidence.headline.startswith("TensorRT was not verified: orin-nx-16gb, serial 1421023")
    assert evidence.passed
    checks = {check.what: check.passed for check in evidence.checks}
    assert checks["no throttling"] is True
    assert checks["no over-current"] is True
    assert checks["the plan works on INT8"] is None
    assert evidence.soak.golden_passes >= 2
    assert evidence.soak.differing == 0
    parser = PageText()
    parser.feed(file.with_suffix(".html").read_text())
    assert not parser.open
    shown = " ".join(parser.words)
    for figure in ("1421023000001", "JetPack 6.2", evidence.identity, "51.2 °C", evidence.time):
        assert figure in shown


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"sys/class/thermal/cooling_device0/cur_state": "2"}, "no throttling"),
        ({}, "99th percentile within the deadline, with and without pauses"),
    ],
)
def test_a_unit_that_falls_short_does_not_pass(
    root: Path, tmp_path: Path, bundle: Path, change: dict[str, str], what: str
) -> None:
    for name, text in change.items():
        (root / name).write_text(text)
    more = [] if change else ["--deadline-ms", "0.001"]
    result = run(root, bundle, tmp_path / "out", "--mode", "15W", *more)
    assert isinstance(result.exception, DeviceError)
    assert what in str(result.exception)
    file, evidence = found(tmp_path / "out")
    assert [check.what for check in evidence.checks if check.passed is False] == [what]
    read = CliRunner().invoke(verbs, ["verify", "--check", str(file)])
    assert str(read.exception) == str(result.exception)


@pytest.mark.parametrize("minutes", ["nan", "inf", "0"])
def test_a_soak_without_an_end_or_a_beginning_is_refused(
    root: Path, tmp_path: Path, bundle: Path, minutes: str
) -> None:
    result = run(root, bundle, tmp_path / "out", "--soak-minutes", minutes)
    assert result.exit_code == 2
    assert "--soak-minutes" in result.output


def test_a_bundle_that_fails_its_golden_frames_ends_it_and_the_mode_comes_back(
    root: Path, tmp_path: Path
) -> None:
    manifest = make_manifest()
    members = make_members(manifest, 0.3) | {"model.cpu.onnx": make_members(manifest)["model.onnx"]}
    write_bundle(tmp_path / "bad.scanside", manifest, members)
    result = run(root, tmp_path / "bad.scanside", tmp_path / "out", "--mode", "15W")
    assert isinstance(result.exception, GoldenMismatchError)
    assert (root / "run/mode").read_text() == "3\n"
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_only_tensorrt_on_a_jetson_is_called_run_on_this_unit(root: Path) -> None:
    unit = read_unit(Machine(root))
    assert headline(unit, "tensorrt 10.3.0", "now").startswith("Run on this unit: orin-nx-16gb")
    other = msgspec.structs.replace(unit, jetson=False, l4t=None)
    assert headline(other, "tensorrt 10.3.0", "now").startswith("Not verified on hardware")


def test_a_soak_that_gets_slower_or_larger_does_not_pass(
    root: Path, tmp_path: Path, bundle: Path
) -> None:
    assert run(root, bundle, tmp_path / "out", "--mode", "15W").exit_code == 0
    _, evidence = found(tmp_path / "out")
    soak, change = evidence.soak, msgspec.structs.replace
    moments = tuple(
        change(soak.moments[0], resident_mb=100.0 + number, over_current=number // 29)
        for number in range(30)
    )
    hot = change(soak.last, median_ms=soak.first.median_ms * 1.3)
    warm = change(soak.last, median_ms=soak.first.median_ms * 1.2)

    def failed(**changes: object) -> set[str]:
        found = checks_of(evidence.modes, change(soak, **changes), None)
        return {check.what for check in found if check.passed is False}

    assert failed(minutes=10.0, last=warm) == set()
    assert failed(minutes=10.0, last=hot) == {"as fast at the soak's end as at its beginning"}
    assert failed(minutes=0.5, last=hot) == set()
    assert failed(moments=moments) == {"memory stays", "no over-current"}
    assert failed(differing=1) == {"the same frame gives the same bits"}


def test_where_nothing_tells_of_throttling_none_is_claimed(
    root: Path, tmp_path: Path, bundle: Path
) -> None:
    """A temperature is no word on throttling."""
    (root / "sys/class/thermal/cooling_device0/type").write_text("pwm-fan\n")
    assert run(root, bundle, tmp_path / "out", "--mode", "15W").exit_code == 0
    _, evidence = found(tmp_path / "out")
    (check,) = (one for one in evidence.checks if one.what == "no throttling")
    assert (check.passed, check.figure) == (None, "nothing here tells of it")
    assert evidence.soak.moments[0].celsius == 51.25


def test_a_jetson_whose_module_is_not_known_is_not_called_no_jetson(
    root: Path, tmp_path: Path, bundle: Path
) -> None:
    (root / "etc/nv_boot_control.conf").write_text("TNSPEC 9999-000-0000-A.1-1-1-other-\n")
    assert run(root, bundle, tmp_path / "out").exit_code == 0
    file, evidence = found(tmp_path / "out")
    assert evidence.headline.startswith("Not verified for this module: it is none that is known")
    shown = file.with_suffix(".html").read_text(encoding="utf-8")
    assert "passed, on no known Jetson" in shown
    assert "<td>not known</td>" in shown


def test_modes_of_which_none_was_reached_give_no_figure(root: Path) -> None:
    one = {"side": 8, "frames": 10, "gap_s": 0.0, "median_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0}
    latency = {**one, "worst_ms": 1.0}
    soak = msgspec.convert(
        {
            "minutes": 1.0, "frames": 10, "golden_passes": 1, "differing": 0, "moments": [],
            "whole": latency, "first": latency, "last": latency,
        }, Soak,
    )  # fmt: skip
    moment = read_moment(Machine(root))
    soak = msgspec.structs.replace(soak, moments=(moment, moment))
    missed = InMode(asked="40W", reached="25W", missed="a reboot")
    deadline = checks_of((missed,), soak, 50.0)[3]
    assert deadline.passed is False
    assert deadline.figure == "nothing was measured; allowed 50 ms"
