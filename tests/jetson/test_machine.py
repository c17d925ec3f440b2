"""How a machine's files are read and its tools run: also when they hang, fail or say nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fake_jetsons.tree import write_script
from scanside.jetson import machine
from scanside.jetson.machine import MOST_BYTES, Machine

SLEEP = "echo $$ > {0}/pid; echo so far; exec sleep 600"


def test_a_tool_is_run_as_it_is_in_the_c_locale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    write_script(tmp_path / "usr/sbin/inner", "echo inner")
    write_script(
        tmp_path / "usr/sbin/tool",
        'echo "$1|$LC_ALL|$LANG|$EXTRA|$(cat)"; inner; echo bad >&2; exit 3',
    )
    ran = Machine(tmp_path).run("tool", "a b;$(id)", given="told", environment={"EXTRA": "x"})
    assert ran == (3, "a b;$(id)|C||x|told\ninner\n", "bad\n")


def test_no_tool_and_one_that_cannot_start_are_none(tmp_path: Path) -> None:
    broken = tmp_path / "usr/bin/broken"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"\x7fELF of another processor")
    broken.chmod(0o755)
    assert Machine(tmp_path).run("nothing") is None
    assert Machine(tmp_path).run("broken") is None


def test_a_tool_that_hangs_is_ended_and_what_it_said_is_kept(tmp_path: Path) -> None:
    write_script(tmp_path / "usr/bin/slow", SLEEP.format(tmp_path))
    ran = Machine(tmp_path).run("slow", seconds=0.5)
    assert ran == (-1, "so far\n", "took longer than 0.5 s")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_nobody_waits_for_a_tool_that_cannot_be_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process in a driver's uninterruptible sleep stays whatever is sent to it."""
    monkeypatch.setattr(machine, "KILL_S", 0.2)
    left: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(subprocess.Popen, "kill", lambda child: left.append(child))
    write_script(tmp_path / "usr/bin/stuck", SLEEP.format(tmp_path))
    began = time.monotonic()
    ran = Machine(tmp_path).run("stuck", seconds=0.5)
    took = time.monotonic() - began
    left[0].send_signal(signal.SIGKILL)
    left[0].wait()
    assert ran is not None
    assert ran.code == -1
    assert took < 30


def test_a_file_is_read_without_its_ends_and_never_more_than_it_may(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"Orin\xff NX\0\n\0")
    (tmp_path / "endless").write_bytes(b"x" * (MOST_BYTES + 5))
    (tmp_path / "folder").mkdir()
    looked = Machine(tmp_path)
    assert looked.read("/model") == "Orin\ufffd NX"
    assert len(looked.read("/endless") or "") == MOST_BYTES
    assert looked.read("/folder") is None
    assert looked.read("/nothing") is None
    assert looked.list("/nothing") == looked.list("/model") == []
    assert not looked.has("/nothing")


def test_no_link_leads_out_of_a_root(tmp_path: Path) -> None:
    """The words of another system are read, and never this one's under the same name."""
    root = tmp_path / "root"
    (root / "etc/nvpmodel").mkdir(parents=True)
    (root / "etc/nvpmodel/nx.conf").write_text("of the image")
    (tmp_path / "secret").write_text("of this PC")
    links = {
        "etc/nvpmodel.conf": "/etc/nvpmodel/nx.conf",
        "settings": "/etc",
        "etc/out": str(tmp_path / "secret"),
        "etc/up": "../../secret",
        "etc/beside": "./nvpmodel/../nvpmodel/nx.conf",
        "etc/loop": "loop",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    looked = Machine(root)
    for name in ("/etc/nvpmodel.conf", "/settings/nvpmodel.conf", "/etc/beside"):
        assert looked.read(name) == "of the image"
        assert looked.has(name)
    assert looked.list("/settings/nvpmodel") == ["nx.conf"]
    for name in ("/etc/out", "/etc/up", "/etc/loop", "/../secret"):
        assert looked.read(name) is None
        assert not looked.has(name)
