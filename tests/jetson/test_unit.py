"""The units: what systemd itself says of them, and that JetPack 6's older one knows every word."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import click
import pytest
from conftest import REPOSITORY

from scanside.jetson import layout
from scanside.jetson.provision.folders import CACHE, FOLDERS
from scanside.jetson.provision.system import JOURNAL_TEXT
from scanside.jetson.provision.unit import devices_drop_in
from scanside.runtime import control, errors

FOLDER = REPOSITORY / "jetson" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
NODES = ["/dev/dri/renderD128", "/dev/host1x-fence", "/dev/nvgpu/igpu0/ctrl", "/dev/nvmap"]
HOPELESS = (
    click.UsageError,  # the command line of the unit or of scanside.env
    errors.MissingExtraError,
    errors.BundleError,  # signatures among them
    errors.KeyFileError,
    errors.TargetError,
)
"""What another start cannot mend. The engine and the address may come back by themselves; the store
may be held by an install."""
systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian's systemd)"
)


def words(text: str) -> list[tuple[str, str, str]]:
    """(section, name, value) of every line that says something."""
    found, section = [], ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            found.append((section, name, value))
    return found


def values(unit: str) -> dict[str, list[str]]:
    found = defaultdict(list)
    for _, name, value in words((FOLDER / unit).read_text()):
        found[name].append(value)
    return found


def known() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for section, name, _ in words((Path(__file__).parent / "systemd-249.txt").read_text()):
        found[section].add(name)
    return found


def test_systemd_249_knows_every_word() -> None:
    ours = {unit.name: unit.read_text() for unit in UNITS}
    ours["devices.conf"] = devices_drop_in(NODES)
    ours["journald"] = JOURNAL_TEXT
    ours["timesyncd"] = "[Time]\nNTP=x\n"
    there = known()
    assert len(there["Service"]) > 200
    assert "ExitType" not in there["Service"]  # came with 250
    unknown = [
        f"{file}: {name}"
        for file, text in ours.items()
        for section, name, _ in words(text)
        if name not in there[section]
    ]
    assert not unknown
    sets = {
        word.lstrip("~")
        for text in ours.values()
        for _, name, value in words(text)
        if name == "SystemCallFilter"
        for word in value.split()
    }
    assert sets <= there["SystemCallFilter"]


@systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_its_exposure_is_two_at_most(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text()
    if unit.name == layout.UNIT:
        text += devices_drop_in(NODES)
    (tmp_path / unit.name).write_text(text)
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager"]
    done = analyse(*command, str(tmp_path / unit.name))
    assert done.returncode == 0, done.stdout[-200:]


@systemd
def test_systemd_finds_nothing_to_complain_of(tmp_path: Path) -> None:
    for unit in UNITS:
        # This machine has none of the programs that they start; any other will do.
        text = unit.read_text().replace("/opt/scanside/current/bin/scanside", sys.executable)
        (tmp_path / unit.name).write_text(text)
    done = analyse("systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir())))
    named = [line for line in done.stderr.splitlines() if "scanside" in line]
    assert done.returncode == 0, done.stderr
    assert not named


def analyse(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SYSTEMD_LOG_LEVEL": "warning"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=environment
    )


def test_what_another_start_cannot_mend_starts_no_other() -> None:
    (codes,) = values(layout.UNIT)["RestartPreventExitStatus"]
    assert sorted(map(int, codes.split())) == sorted(one.exit_code for one in HOPELESS)


def test_its_places_are_those_of_the_layout() -> None:
    found = values(layout.UNIT)
    (start,) = found["ExecStart"]
    arguments = shlex.split(start)
    assert arguments[0] == f"{layout.CURRENT}/bin/scanside"
    assert arguments[arguments.index("--store") + 1] == layout.STORE
    assert (
        arguments[arguments.index("--control") + 1] == layout.CONTROL == str(control.CONTROL_FILE)
    )
    assert found["Environment"][0] == f"SCANSIDE_BIND={layout.ADDRESS}"
    assert found["EnvironmentFile"] == [f"-{layout.ENVIRONMENT}"]
    assert f"SCANSIDE_CACHE={CACHE}" in found["Environment"][1].split()
    assert f"/run/{found['RuntimeDirectory'][0]}" == layout.RUNTIME
    assert f"/var/lib/{found['StateDirectory'][0]}" == layout.STORE
    assert f"/var/cache/{found['CacheDirectory'][0]}" == CACHE
    assert found["ConditionPathExists"] == [f"{layout.STORE}/chosen.json"]
    assert found["User"] == found["Group"] == [layout.USER]


def test_systemd_gives_its_folders_the_modes_that_provision_does() -> None:
    found = values(layout.UNIT)
    modes = {place.name: place.mode for place in FOLDERS}
    assert int(found["StateDirectoryMode"][0], 8) == modes[layout.STORE] == 0o700
    assert int(found["CacheDirectoryMode"][0], 8) == modes[CACHE] == 0o700
    # Whoever may send frames is in the group, and gets no further than the socket.
    assert int(found["RuntimeDirectoryMode"][0], 8) == 0o750
    assert found["UMask"] == ["0007"]


def test_its_command_line_is_one_that_serve_takes() -> None:
    from scanside.runtime.cli.serve import serve

    (start,) = values(layout.UNIT)["ExecStart"]
    text = start.replace("${SCANSIDE_BIND}", layout.ADDRESS).replace("$SCANSIDE_OPTIONS", "")
    arguments = shlex.split(text)
    assert arguments[1] == "serve"
    with serve.make_context("serve", arguments[2:]) as context:
        assert context.params["bind"] == layout.ADDRESS
        assert str(context.params["store"]) == layout.STORE


def test_nothing_that_cuda_needs_is_taken_away() -> None:
    found = values(layout.UNIT)
    for name in ("MemoryDenyWriteExecute", "PrivateDevices", "ProcSubset", "InaccessiblePaths",
                 "TemporaryFileSystem", "RootDirectory", "NoExecPaths"):  # fmt: skip
        assert name not in found, name
    filters = " ".join(found["SystemCallFilter"])
    assert "@resources" not in filters
    assert found["LimitMEMLOCK"] == ["infinity"]


def test_frames_are_never_written_to_a_core() -> None:
    assert all(values(unit.name)["LimitCORE"] == ["0"] for unit in UNITS)


def test_it_waits_until_every_node_is_there(tmp_path: Path) -> None:
    (start,) = values("scanside-gpu.service")["ExecStart"]
    command = [word.replace("$$", "$") for word in shlex.split(start)]
    late = tmp_path / "renderD128"
    (tmp_path / "ctrl").touch()
    environment = {**os.environ, "NODES": f"{tmp_path}/ctrl {tmp_path}/renderD*"}
    with subprocess.Popen(command, env=environment) as waiting:
        time.sleep(0.7)
        assert waiting.poll() is None
        late.touch()
        assert waiting.wait(timeout=10) == 0


def test_the_gpu_is_waited_for_outside_the_service() -> None:
    # systemd looks up the nodes of DeviceAllow= before it runs anything of the unit.
    found = values(layout.UNIT)
    assert "ExecStartPre" not in found
    assert "scanside-gpu.service" in found["After"][0].split()
    assert found["Wants"] == ["scanside-gpu.service"]


def test_every_unit_is_packed() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text()
    assert re.search(r'^"scanside.jetson" = \["systemd/\*\.service"\]$', project, re.MULTILINE)
