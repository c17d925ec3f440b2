"""The power mode comes back, whatever ends the run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acceptance import NVPMODEL, found, run, words
from daemons import heed_interrupts
from scanside.jetson.machine import Machine
from scanside.jetson.verify.facts import Moment, read_moment
from scanside.jetson.verify.modes import allowed_modes, mode_kept, set_mode
from scanside.runtime.errors import DeviceError


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_the_run_the_power_mode_comes_back(
    root: Path, tmp_path: Path, bundle: Path, how: signal.Signals
) -> None:
    program = [sys.executable, "-c", "from scanside.runtime.cli import main; main()", "device"]
    said = words(root, bundle, tmp_path / "out", "--mode", "10W", "--frames", "1000000")
    with subprocess.Popen(
        [*program, *said], stderr=subprocess.PIPE, preexec_fn=heed_interrupts
    ) as process:
        try:
            assert process.stderr is not None
            while (root / "run/mode").read_text() != "1\n":
                time.sleep(0.02)
                assert process.poll() is None
            assert b"10W: golden frames" in process.stderr.readline()
            process.send_signal(how)
            process.wait(20)
        finally:
            process.kill()
    until = time.monotonic() + 20
    while (root / "run/mode").read_text() != "3\n":
        assert time.monotonic() < until, "the mode did not come back"
        time.sleep(0.02)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("minutes", ["0", "1000"])
def test_a_signal_that_is_lost_ends_the_run_with_the_next_frame(
    root: Path, tmp_path: Path, bundle: Path, minutes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tool:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def moment(machine: Machine) -> Moment:
        Tool()
        return read_moment(machine)

    where = "acceptance" if minutes == "0" else "soak"
    monkeypatch.setattr(f"scanside.jetson.verify.{where}.read_moment", moment)
    more = ["--frames", "1000000"] if minutes == "0" else ["--soak-minutes", minutes]
    result = run(root, bundle, tmp_path / "out", "--mode", "10W", *more)
    assert (result.exit_code, (root / "run/mode").read_text()) == (1, "3\n")
    assert "Aborted" in result.output


def test_a_mode_that_cannot_be_put_back_is_said(root: Path) -> None:
    machine = Machine(root)
    (root / "run/mode").write_text("4\n")
    with (
        pytest.raises(DeviceError, match="the power mode 40W cannot be put back"),
        mode_kept(machine),
    ):
        assert set_mode(machine, "15W") == "15W"


def test_a_mode_that_is_not_there_is_refused(root: Path) -> None:
    with pytest.raises(DeviceError, match="it has MAXN_SUPER, 10W, 15W, 25W, 40W"):
        allowed_modes(Machine(root), ("50W",))
    assert allowed_modes(Machine(root), ("MAXN_SUPER",)) == ("MAXN_SUPER",)


def test_a_mode_that_nvpmodel_does_not_tell_is_never_left(
    root: Path, tmp_path: Path, bundle: Path
) -> None:
    """Its status file would tell one: what was asked for last, not what the device is in."""
    tool = root / "usr/bin/nvpmodel"
    tool.write_text(NVPMODEL.replace('case "$1" in', 'case "$1" in\n  -q) exit 1 ;;', 1))
    status = root / "var/lib/nvpmodel/status"
    status.parent.mkdir(parents=True)
    status.write_text("pmode:0003")
    result = run(root, bundle, tmp_path / "out", "--mode", "15W")
    assert isinstance(result.exception, DeviceError)
    assert "nvpmodel does not tell the power mode" in str(result.exception)
    assert not (root / "run/asked").exists()
    assert set_mode(Machine(root), "15W") is None


def test_a_keeper_that_died_costs_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with mode_kept(Machine(root)) as before:
        assert set_mode(Machine(root), "15W") == "15W"
        time.sleep(0.2)
    assert before == "25W"
    assert (root / "run/mode").read_text() == "3\n"


def test_the_keeper_takes_no_module_from_the_folder_it_is_started_in(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may stand on a stick."""
    (tmp_path / "msgspec.py").write_text("open('taken', 'w')\n")
    monkeypatch.chdir(tmp_path)
    with mode_kept(Machine(Path("root"))):
        set_mode(Machine(root), "15W")
    assert (root / "run/mode").read_text() == "3\n"
    assert not (tmp_path / "taken").exists()


def test_a_lost_terminal_ends_nothing_under_nohup(root: Path, tmp_path: Path, bundle: Path) -> None:
    program = [sys.executable, "-c", "from scanside.runtime.cli import main; main()", "device"]
    said = words(root, bundle, tmp_path / "out", "--mode", "10W", "--pauses", "4")

    def nohup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with subprocess.Popen([*program, *said], stderr=subprocess.PIPE, preexec_fn=nohup) as process:
        assert process.stderr is not None
        assert b"10W: golden frames" in process.stderr.readline()
        process.send_signal(signal.SIGHUP)
        process.stderr.read()
        assert process.wait(30) == 0
    assert found(tmp_path / "out")[1].passed
