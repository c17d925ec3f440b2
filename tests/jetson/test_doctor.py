"""The doctor against the corpus of fake devices: exactly the red and yellow lines of each, and a
page that can be read, printed and parsed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("onnx", reason="the bundles of the corpus need the extra [workstation]")

from click.testing import CliRunner

from fake_jetsons.bundles import Bundles
from fake_jetsons.corpus import CORPUS, ORINS, Row, row
from fake_jetsons.show import names, page_of
from fake_jetsons.tree import make_jetson
from scanside.jetson.cli.doctor import command
from scanside.jetson.device import clock, disk, power, python, read_device
from scanside.jetson.doctor.body import check_room
from scanside.jetson.doctor.examine import examine
from scanside.jetson.doctor.html import html_page
from scanside.jetson.doctor.platform import case_of
from scanside.jetson.doctor.verdict import GROUPS, Check, Verdict
from scanside.jetson.machine import Machine
from scanside.runtime.errors import DeviceError
from scanside.runtime.platforms import targets

RED, YELLOW = Verdict.RED, Verdict.YELLOW
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return Bundles(tmp_path_factory.mktemp("bundles"))


@pytest.mark.parametrize("one", CORPUS, ids=[one.name for one in CORPUS])
def test_the_doctor_is_right_on_every_device(one: Row, tmp_path: Path, bundles: Bundles) -> None:
    page = page_of(one, tmp_path / "root", bundles)
    assert names(page, RED) == set(one.red)
    assert names(page, YELLOW) == set(one.yellow)
    assert page.verdict.value == one.verdict
    for check in page.checks:
        assert check.next_step or check.verdict not in (RED, YELLOW), check.name
        assert not CONTROL.search(check.found + check.expected + check.next_step), check
    assert not CONTROL.search(html_page(page).replace("\n", ""))


def test_the_corpus_holds_every_supported_pair_and_every_check() -> None:
    assert len({one.name for one in CORPUS}) == len(CORPUS) >= 30
    supported = {
        f"{target.module.name} with JetPack {target.release.jetpack}"
        for target in targets().values()
        if not target.refused
    }
    assert supported <= {one.name for one in CORPUS if one.verdict == "green"}
    assert {name.rpartition("-")[0] for name in ORINS} == {"orin-nano", "orin-nx", "agx-orin"}


def test_every_check_is_green_once_and_not_green_once(tmp_path: Path, bundles: Bundles) -> None:
    """None of them can pass vacuously: each is judged on a whole device, and fails on another."""
    page = page_of(row("whole", bundle="plan of this device"), tmp_path / "root", bundles)
    green = {check.name for check in page.checks if check.verdict is Verdict.GREEN}
    assert green == {check.name for check in page.checks}
    failed = {name for one in CORPUS for name in one.red | one.yellow}
    told = {"power.clocks"}  # only tells, and judges nothing
    assert green - told == failed
    assert {name.partition(".")[0] for name in green} == set(GROUPS)


def test_a_cell_that_was_never_settled_refuses_nobody(tmp_path: Path) -> None:
    device = read_device(Machine(make_jetson(tmp_path / "root", gib=7.4)))
    case = case_of(device)
    assert case.module is not None
    for uncertain, verdict in (((), RED), (("memory_gb",), YELLOW)):
        module = msgspec.structs.replace(case.module, uncertain=uncertain)
        checks = check_room(msgspec.structs.replace(case, module=module))
        assert next(c.verdict for c in checks if c.name == "memory.total") is verdict


def test_a_board_without_cooling_devices_that_tell_is_not_called_cool(tmp_path: Path) -> None:
    thermal = "sys/class/thermal"
    gone = {f"{thermal}/cooling_device{n}/type": None for n in (0, 2)}
    page = examine(Machine(make_jetson(tmp_path / "root", files=gone)))
    found = {check.name: check.verdict for check in page.checks}
    assert found["heat.throttling"] is Verdict.NOT_JUDGED


@pytest.mark.parametrize(
    ("module", "l4t", "watts"),
    [("orin-nx-16gb", "36.4.3", "5.0 W in"), ("thor-t5000", "38.4.0", "31.0 W in"),
     ("agx-orin-64gb", "36.4.3", None)],
)  # fmt: skip
def test_the_boards_whole_power_is_told_where_one_rail_has_it(
    tmp_path: Path, module: str, l4t: str, watts: str | None
) -> None:
    page = examine(Machine(make_jetson(tmp_path / "root", module=module, l4t=l4t)))
    told = next(check.found for check in page.checks if check.name == "power.tegrastats")
    assert watts in told if watts else " W" not in told


def test_a_device_on_which_every_tool_hangs_is_done_with_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((clock, "_SECONDS"), (disk, "_SECONDS"), (power, "QUERY_S")):
        monkeypatch.setattr(module, name, 1.0)
    monkeypatch.setattr(python, "LOAD_S", 1.0)
    monkeypatch.setattr("scanside.jetson.machine.TOOL_S", 1.0)
    monkeypatch.setattr(
        Machine.run, "__kwdefaults__", {**Machine.run.__kwdefaults__, "seconds": 1.0}
    )
    tools = ("dpkg-query", "nvpmodel", "tegrastats", "df", "date", "timedatectl", "systemctl")
    root = make_jetson(tmp_path / "root", scripts=dict.fromkeys(tools, "exec sleep 600"))
    for folder in ("usr/bin/python3", "opt/scanside/versions/0.1.0/bin/python"):
        (root / folder).write_text("#!/bin/sh\nexec sleep 600\n")
    started = time.monotonic()
    page = examine(Machine(root))
    assert time.monotonic() - started < 15
    assert {"python.system", "tensorrt.bindings", "cuda.driver"} <= names(page, RED)
    assert {"packages.one_version", "power.mode", "disk.room", "time.clock"} <= names(page, YELLOW)


def test_json_says_the_same_and_names_no_person(tmp_path: Path, bundles: Bundles) -> None:
    root = tmp_path / "root"
    page = page_of(row("x", held=False), root, bundles)
    passwd = root / "etc/passwd"
    passwd.write_text(passwd.read_text() + "maria.muster:x:1001:1001::/home/m:/bin/sh\n")
    result = CliRunner().invoke(command, ["--root", str(root), "--json"])
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    assert content["verdict"] == "yellow"
    assert {check["name"]: check["verdict"] for check in content["checks"]} == {
        check.name: check.verdict.value for check in page.checks
    }
    assert content["target"] == "orin-nx-16gb-jp6.2"
    assert "maria" not in result.stdout


def test_a_red_line_ends_with_20_and_says_what_to_do(tmp_path: Path) -> None:
    root = make_jetson(tmp_path / "root", free_mb=10)
    result = CliRunner().invoke(command, ["--root", str(root)])
    assert result.exit_code == DeviceError.exit_code == 20
    assert "✗ Room on the disk" in result.stdout
    assert "next: sudo scanside device prune" in result.stdout
    assert "This device is not ready. 35 green, 1 red." in result.stdout


def test_the_html_page_is_whole_and_needs_nothing_else(tmp_path: Path, bundles: Bundles) -> None:
    hostile = {"proc/device-tree/model": '<img src=x onerror="alert(1)">&\0'}
    root = make_jetson(tmp_path / "root", files=hostile, free_mb=10)
    out = tmp_path / "page.html"
    result = CliRunner().invoke(
        command,
        ["--root", str(root), "--html", str(out), "--bundle", str(bundles.file("unsigned"))],
    )
    assert result.exit_code == 20, result.output
    text = out.read_text()
    assert "<img" not in text
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;" in text
    assert not re.search(r"https?://|url\(|<script|@import|src=\"", text)
    assert "size: A4" in text
    seen = _Text()
    seen.feed(text)
    assert seen.depth == 0
    shown = " ".join(seen.words)
    for words in ("Room on the disk", "10 MiB at /", "carries no signature", "What to do"):
        assert words in shown


class _Text(HTMLParser):
    """Text between tags, and how many are still open at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.depth += tag != "meta"

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_what_cannot_be_written_or_looked_at_is_a_typed_error(tmp_path: Path) -> None:
    root = make_jetson(tmp_path / "root")
    for arguments in (
        ["--root", str(root), "--html", str(tmp_path / "no" / "page.html")],
        ["--root", str(tmp_path / "nowhere")],
    ):
        result = CliRunner().invoke(command, arguments)
        assert isinstance(result.exception, DeviceError), result.output


def test_every_group_that_is_missing_is_in_the_next_step(tmp_path: Path) -> None:
    root = make_jetson(tmp_path / "root", files={"etc/group": "root:x:0:\n"})
    check = next(c for c in examine(Machine(root)).checks if c.name == "access.groups")
    assert check.verdict is RED
    assert all(f"groupadd --system {one}" in check.next_step for one in ("render", "video"))


def test_settings_that_are_no_folder_trust_nobody(tmp_path: Path, bundles: Bundles) -> None:
    root = make_jetson(tmp_path / "root", files={"etc/scanside": "no folder"})
    page = examine(Machine(root), bundles.file("good"))
    assert "bundle.signature" in names(page, RED)


def test_a_terminal_that_lacks_its_signs_is_told_everything_all_the_same(tmp_path: Path) -> None:
    root = make_jetson(tmp_path / "root", celsius=88.0)
    done = subprocess.run(
        [sys.executable, "-m", "scanside.runtime", "device", "doctor", "--root", str(root)],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"? Module" in done.stdout
    assert b"88 \xb0C (tj-thermal)" in done.stdout
    assert b"No fault found" in done.stdout


def test_looking_changes_nothing(tmp_path: Path, bundles: Bundles) -> None:
    root = tmp_path / "root"
    page_of(row("x"), root, bundles)
    before = _contents(root)
    for bundle in ("good", "plan built elsewhere"):
        examine(Machine(root), bundles.file(bundle))
    assert _contents(root) == before


def _contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_a_red_check_cannot_be_made_without_a_next_step() -> None:
    with pytest.raises(ValueError, match="no next step"):
        Check(name="module.known", title="x", verdict=RED, found="y")


def test_who_may_not_read_everything_is_told_so(tmp_path: Path, bundles: Bundles) -> None:
    root = make_jetson(tmp_path / "root")
    bundles.trust(root)
    closed = [root / "var/lib/scanside", root / "etc/scanside"]
    command = [sys.executable, "-m", "scanside.runtime", "device", "doctor", "--json",
               "--root", str(root), "--bundle", str(bundles.file("good"))]  # fmt: skip
    if os.geteuid() == 0:  # then without the powers to read what is closed
        if shutil.which("setpriv") is None:
            pytest.skip("no setpriv to take root's powers with")
        without = "-dac_override,-dac_read_search"
        command[:0] = ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}"]
    try:
        for folder in closed:
            folder.chmod(0)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        for folder in closed:
            folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    found = {check["name"]: check for check in content["checks"]}
    notable = {name: c["verdict"] for name, c in found.items() if c["verdict"] != "green"}
    assert notable == {
        "scanside.store": "yellow",
        "doctor.sight": "yellow",
        "bundle.signature": "yellow",
        "bundle.serial": "not judged",
    }
    assert "/var/lib/scanside/chosen.json cannot be read" in found["doctor.sight"]["found"]
    assert found["bundle.signature"]["found"] == "/etc/scanside/trust cannot be read"
