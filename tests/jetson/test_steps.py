"""Steps: done ones stay, a failed one stops the rest, and the report is written all the same."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from scanside.jetson.cli.running import run_steps, step_options
from scanside.jetson.steps import Outcome, Report, Step, carry_out
from scanside.runtime.errors import DeviceError


def file_of(path: Path) -> Step:
    """A step that makes an empty file."""
    return Step(f"make {path.name}", lambda: None if path.exists() else "make it", path.touch)


def full_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/var/lib/scanside")


def outcomes(report: Report) -> list[str]:
    return [step.outcome.value for step in report.steps]


def test_what_is_done_stays_and_a_dry_run_does_nothing(tmp_path: Path) -> None:
    steps = [file_of(tmp_path / "a"), file_of(tmp_path / "b")]
    assert outcomes(carry_out("x", steps, dry_run=True)) == ["would", "would"]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").touch()
    first = carry_out("x", steps)
    assert (outcomes(first), first.changed) == (["unchanged", "done"], 1)
    assert carry_out("x", steps).changed == 0


@pytest.mark.parametrize("where", ["pending", "do"])
def test_an_error_of_the_file_system_fails_its_step_and_no_other_is_reached(
    tmp_path: Path, where: str
) -> None:
    bad = Step("bad", full_disk if where == "pending" else lambda: "do it", full_disk)
    report = carry_out("x", [file_of(tmp_path / "a"), bad, file_of(tmp_path / "b")])
    assert outcomes(report) == ["done", "failed", "not reached"]
    assert report.failed
    assert "/var/lib/scanside" in report.steps[1].text
    assert "No space left" in report.steps[1].text
    assert report.steps[1].next_step
    assert not (tmp_path / "b").exists()


def test_a_step_whose_work_does_not_stick_has_failed() -> None:
    report = carry_out("x", [Step("mode", lambda: "set it", lambda: None)])
    assert report.steps[0].outcome is Outcome.FAILED
    assert "still to be done" in report.steps[0].text


@pytest.mark.parametrize("as_json", [False, True])
def test_a_failed_run_ends_with_20_and_is_in_the_log(tmp_path: Path, as_json: bool) -> None:
    @click.command()
    @step_options
    def verb(**options: object) -> None:
        run_steps("verb", [Step("disk", lambda: "write", full_disk)], **options)  # type: ignore[arg-type]

    arguments = ["--root", str(tmp_path)] + (["--json"] if as_json else [])
    for _ in range(2):
        result = CliRunner().invoke(verb, arguments)
        assert result.exit_code == DeviceError.exit_code == 20
    told = json.loads(result.stdout)["steps"][0]["text"] if as_json else result.stdout
    assert "No space left" in told
    log = (tmp_path / "var/log/scanside/device.jsonl").read_text().splitlines()
    assert [json.loads(line)["steps"][0]["outcome"] for line in log] == ["failed", "failed"]
    CliRunner().invoke(verb, [*arguments, "--dry-run"])
    assert len((tmp_path / "var/log/scanside/device.jsonl").read_text().splitlines()) == 2


def test_a_line_of_the_log_that_a_power_cut_tore_spoils_no_other(tmp_path: Path) -> None:
    @click.command()
    @step_options
    def verb(**options: object) -> None:
        run_steps("verb", [file_of(tmp_path / "a")], **options)  # type: ignore[arg-type]

    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"time":"20')
    for _ in range(2):
        CliRunner().invoke(verb, ["--root", str(tmp_path), "--log", str(log)])
    torn, *lines = log.read_text().splitlines()
    assert torn == '{"time":"20'
    assert [json.loads(line)["steps"][0]["outcome"] for line in lines] == ["done", "unchanged"]


def test_another_whole_system_is_looked_at_and_not_changed(tmp_path: Path) -> None:
    """Its groupadd, started from here, would add a group to this PC."""
    shell = tmp_path / "usr/bin/dash"
    shell.parent.mkdir(parents=True)
    shell.write_bytes(b"\x7fELF and so on")
    (shell.parent / "sh").symlink_to("dash")
    (tmp_path / "bin").symlink_to("usr/bin")
    made = tmp_path / "made"
    step = Step("it is made", lambda: None if made.exists() else "make it", made.touch)
    options = {"root": tmp_path, "as_json": False, "log": tmp_path / "log"}
    with pytest.raises(DeviceError, match="would change this one"):
        run_steps("try", [step], dry_run=False, **options)
    assert not made.exists()
    run_steps("try", [step], dry_run=True, **options)
    shell.write_bytes(b"#!/bin/sh\n")  # a fake one's
    run_steps("try", [step], dry_run=False, **options)
    assert made.exists()
