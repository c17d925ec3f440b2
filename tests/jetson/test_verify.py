"""`scanside device verify`: what it measures, what it may claim, and that the power comes back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from bundles import make_manifest, make_members, write_test_bundle
from scanside.compile.pack import write_bundle
from scanside.jetson.cli import device as verbs
from scanside.jetson.machine import Machine
from scanside.jetson.verify.acceptance import checks_of
from scanside.jetson.verify.facts import Moment, read_moment, read_unit
from scanside.jetson.verify.modes import allowed_modes, mode_kept, set_mode
from scanside.jetson.verify.page import page
from scanside.jetson.verify.record import Evidence, InMode, Soak, headline
from scanside.jetson.verify.sealed import device_key, open_sealed, seal, write_page
from scanside.runtime.errors import (
    DeviceError,
    GoldenMismatchError,
    KeyFileError,
    SignatureError,
)
from scanside.runtime.signing import load_private_key, new_key

NVPMODEL = """#!/bin/sh
here=$(dirname "$(dirname "$(dirname "$0")")")
case "$1" in
  -q) n=$(cat "$here/run/mode")
      name=$(sed -n "s/< POWER_MODEL ID=$n NAME=\\(.*\\) >/\\1/p" "$here/etc/nvpmodel.conf")
      echo "NV Power Mode: $name"; echo "$n" ;;
  -m) echo "$2" >> "$here/run/asked"
      test "$2" = 4 && { read answer; echo "reboot? $answer" >> "$here/run/asked"; exit 0; }
      echo "$2" > "$here/run/mode" ;;
esac
"""
MODES = {"MAXN_SUPER": 0, "10W": 1, "15W": 2, "25W": 3, "40W": 4}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An Orin NX 16 GB with JetPack 6.2, in 25W; 40W needs a reboot. Sensors as on the device."""
    folder = tmp_path / "root"
    files = {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic\n",
        "etc/nv_boot_control.conf": "TNSPEC 3767-300-0000-R.1-1-1-jetson-orin-nx-\n",
        "etc/nvpmodel.conf": "".join(
            f"< POWER_MODEL ID={number} NAME={name} >\n" for name, number in MODES.items()
        ),
        "proc/device-tree/serial-number": "1421023000001\0",
        "proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable: 9000000 kB\n",
        "sys/class/thermal/thermal_zone0/type": "gpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "51250\n",
        "sys/class/thermal/cooling_device0/type": "gpu-throttle-alert\n",
        "sys/class/thermal/cooling_device0/cur_state": "0\n",
        "sys/class/hwmon/hwmon1/oc1_event_cnt": "3\n",
        "sys/class/devfreq/17000000.gpu/cur_freq": "918000000\n",
        "run/mode": "3\n",
        "usr/bin/nvpmodel": NVPMODEL,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "usr/bin/nvpmodel").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_test_bundle(tmp_path_factory.mktemp("bundle") / "one.scanside", residual=0.01)


def words(root: Path, bundle: Path, out: Path, *more: object) -> list[str]:
    said = ["verify", str(bundle), "--root", str(root), "--out", str(out), "--allow-unsigned"]
    said += ["--engine", "onnxruntime", "--threads", "1", "--frames", "10"]
    return [*said, "--pauses", "2", "--soak-minutes", "0.02", *map(str, more)]


def run(root: Path, bundle: Path, out: Path, *more: object) -> Result:
    return CliRunner().invoke(verbs, words(root, bundle, out, *more))


def found(out: Path) -> tuple[Path, Evidence]:
    (file,) = out.glob("*.json")
    return file, open_sealed(file, []).evidence


class _Text(HTMLParser):
    """Its words, and that every table's rows and cells are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("table", "tr", "td", "svg"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("table", "tr", "td", "svg"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


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
    parser = _Text()
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


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_the_run_the_power_mode_comes_back(
    root: Path, tmp_path: Path, bundle: Path, how: signal.Signals
) -> None:
    program = [sys.executable, "-c", "from scanside.runtime.cli import main; main()", "device"]
    said = words(root, bundle, tmp_path / "out", "--mode", "10W", "--frames", "1000000")
    heeding = [sys.executable, "-c", _HEED, *program, *said]
    with subprocess.Popen(heeding, stderr=subprocess.PIPE, env=os.environ.copy()) as process:
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


# Whatever the tests themselves were started with: in the background, or under nohup.
_HEED = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "signal.signal(signal.SIGHUP, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)


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


def test_evidence_that_was_changed_or_is_by_another_is_not_believed(
    root: Path, tmp_path: Path, bundle: Path
) -> None:
    assert run(root, bundle, tmp_path / "out", "--mode", "15W").exit_code == 0
    file, evidence = found(tmp_path / "out")
    public = root / "etc/scanside/device.key.pub"
    checked = CliRunner().invoke(verbs, ["verify", "--check", str(file), "--key", str(public)])
    assert checked.exit_code == 0
    assert checked.stdout.startswith(evidence.headline)
    assert open_sealed(file, [public]).known
    assert not open_sealed(file, []).known
    new_key(tmp_path / "other")
    with pytest.raises(SignatureError, match="not by a key that was named"):
        open_sealed(file, [tmp_path / "other.pub"])
    text = file.read_text()
    for pattern, other in (
        (r'"median_ms": [0-9.]+', '"median_ms": 0.001'),
        (r"TensorRT was not verified", "TensorRT was verified"),
        (r'"passed": true', '"passed": false'),
        (r'"jetson": true', '"jetson": true, "note": 1'),
    ):
        changed = re.sub(pattern, other, text, count=1)
        assert changed != text
        (tmp_path / "changed.json").write_text(changed)
        with pytest.raises(SignatureError, match="was changed after it was signed"):
            open_sealed(tmp_path / "changed.json", [])
    for nonsense in ("", "[]", "{}", "[" * 100000, text[:-40]):
        (tmp_path / "nonsense.json").write_text(nonsense)
        with pytest.raises(DeviceError, match="no evidence"):
            open_sealed(tmp_path / "nonsense.json", [])


def test_the_page_escapes_what_others_wrote(root: Path, tmp_path: Path, bundle: Path) -> None:
    (root / "proc/device-tree/serial-number").write_text("<script>alert(1)</script>")
    assert run(root, bundle, tmp_path / "out", "--mode", "15W").exit_code == 0
    file, evidence = found(tmp_path / "out")
    assert "<script" in evidence.headline
    assert "<script" not in page(evidence, file.name, "key")


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


def heard(out: Path) -> bool:
    """Whether anything was measured."""
    return out.exists() and any(out.iterdir())


def test_what_would_stop_the_evidence_stops_the_run_before_it(
    root: Path, tmp_path: Path, bundle: Path
) -> None:
    """A key that cannot be read, a folder that takes nothing, another system's tools: no mode is
    asked for."""
    out, asked = tmp_path / "out", root / "run/asked"
    result = run(root, bundle, out, "--mode", "15W", "--key", tmp_path / "nowhere")
    assert isinstance(result.exception, KeyFileError)
    (tmp_path / "file").write_text("")
    result = run(root, bundle, tmp_path / "file/out", "--mode", "15W")
    assert isinstance(result.exception, DeviceError)
    assert "cannot be written" in str(result.exception)
    (root / "bin").mkdir()
    (root / "bin/sh").write_bytes(b"\x7fELF")
    result = run(root, bundle, out, "--mode", "15W")
    assert isinstance(result.exception, DeviceError)
    assert "this one's power mode" in str(result.exception)
    assert not asked.exists()
    assert not heard(out)


def test_a_key_that_was_named_is_not_made_and_its_neighbour_stays(
    root: Path, tmp_path: Path, bundle: Path
) -> None:
    new_key(tmp_path / "maker")
    (tmp_path / "maker").unlink()
    result = run(root, bundle, tmp_path / "out", "--key", tmp_path / "maker")
    assert isinstance(result.exception, KeyFileError)
    assert (tmp_path / "maker.pub").exists()
    assert not (tmp_path / "maker").exists()


def test_a_cut_between_the_keys_two_files_is_mended(tmp_path: Path) -> None:
    path = device_key(tmp_path / "device.key")
    public = tmp_path / "device.key.pub"
    before = public.read_bytes()
    public.unlink()
    device_key(path)
    assert public.read_bytes() == before


def test_a_key_in_a_closed_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", closed)  # root, who runs the tests, sees into any folder
    with pytest.raises(DeviceError, match=r"cannot be made: Permission denied"):
        device_key(tmp_path / "device.key")


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
    heeding = _HEED.replace("SIGHUP, signal.SIG_DFL", "SIGHUP, signal.SIG_IGN")
    with subprocess.Popen(
        [sys.executable, "-c", heeding, *program, *said], stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        assert b"10W: golden frames" in process.stderr.readline()
        process.send_signal(signal.SIGHUP)
        process.stderr.read()
        assert process.wait(30) == 0
    assert found(tmp_path / "out")[1].passed


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


def test_the_page_is_whole_in_any_locale(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "root").mkdir()
    program = [sys.executable, "-X", "utf8=0", "-c"]
    program += ["from scanside.runtime.cli import main; main()", "device"]
    odd = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [*program, *words(tmp_path / "root", bundle, tmp_path / "out"), "--json"],
        env=odd, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (shown,) = (tmp_path / "out").glob("*.html")
    assert "–" in shown.read_text(encoding="utf-8")
    with pytest.raises(DeviceError, match="cannot be written"):
        write_page("", shown / "below")


def test_evidence_of_another_format_or_with_controls_is_told_as_such(
    root: Path, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(root, bundle, tmp_path / "out", "--mode", "15W").exit_code == 0
    _, evidence = found(tmp_path / "out")
    key = root / "etc/scanside/device.key"
    assert load_private_key(key)
    other = tmp_path / "other.json"
    seal(msgspec.structs.replace(evidence, headline="all is well\x07"), key, other)
    checked = CliRunner().invoke(verbs, ["verify", "--check", str(other)])
    assert checked.exit_code == 0
    assert "\x07" not in checked.stdout
    content = msgspec.to_builtins(evidence) | {"format": 2}
    content.pop("soak")
    monkeypatch.setattr(msgspec, "to_builtins", lambda _: content)
    seal(evidence, key, other)
    with pytest.raises(DeviceError, match="has format 2, this Scanside reads 1"):
        open_sealed(other, [])


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
