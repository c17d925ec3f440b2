"""The Ansible role on fake devices over a real sshd (`make check-fleet`); Prometheus's rules."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from device_scenes import Device, answering, make_device
from scanside.jetson.application import trial
from ssh_servers import SshServer, ssh_server

ROLE = REPOSITORY / "jetson/ansible"
RULES = REPOSITORY / "jetson/prometheus"
ANSIBLE = os.environ.get("SCANSIDE_ANSIBLE", "")


def metric_names() -> set[str]:
    """Every name that a daemon's collector gives, asked of the very collector."""
    from types import SimpleNamespace

    from scanside.runtime.daemon.metrics import DaemonCollector
    from scanside.runtime.daemon.tally import ModelTally
    from scanside.runtime.wire import Counters, ModelCard

    card: Any = SimpleNamespace(name="a", version="1", identity="i", engine="e", signed=False)
    drift: Any = SimpleNamespace(modality="CT", drifting=None, strength=0.0, shift=0.0, streams=0)
    status: Any = SimpleNamespace(
        counters=Counters(
            enhanced=0, bypassed={}, refused={}, errors=0, closed_peers=0,
            queue=0, sessions=0, streams=0,
        ),
        state="READY", model=card, drift=[drift], uptime_s=1.0, guarded=True,
    )  # fmt: skip
    assert ModelCard
    daemon: Any = SimpleNamespace(
        status=lambda: status, tally=SimpleNamespace(models={("a", "1"): ModelTally()})
    )
    return {
        f"{sample.name}{{{label}}}" if label else sample.name
        for metric in DaemonCollector(daemon).collect()
        for sample in metric.samples
        for label in ("", *sample.labels)
    }


def test_every_name_in_the_rules_is_one_that_a_daemon_gives() -> None:
    text = (RULES / "alerts.yml").read_text()
    named = set(re.findall(r"\b(?:scanside|nv)_\w+", text))
    known = metric_names()
    assert len(named) >= 5
    assert named <= known, named - known
    for name, labels in re.findall(r"\b(scanside_\w+)\{([^}]*)\}", text):
        for label in re.findall(r"(\w+)=", labels):
            assert f"{name}{{{label}}}" in known
    assert 'state="READY"' in text
    assert 'outcome="bypassed"' in text


def test_the_port_of_the_scrape_is_the_one_of_the_documents() -> None:
    assert ":9464" in (RULES / "scrape.yml").read_text()
    assert "--metrics-port 9464" in (REPOSITORY / "docs/fleet.md").read_text()


def test_no_secret_lies_in_the_example() -> None:
    for file in [*ROLE.rglob("*.yml"), *ROLE.rglob("*.cfg")]:
        text = file.read_text().lower()
        assert not re.search(r"pass(?:word|wd)\s*[:=]|private_key\s*[:=]|become_pass", text), file


def test_the_role_names_only_verbs_that_there_are() -> None:
    from scanside.jetson.cli import VERBS

    text = "\n".join(file.read_text() for file in (ROLE / "roles/scanside/tasks").glob("*.yml"))
    named = set(re.findall(r"(?:\[|'device', )'(\w+)'", text)) - {"bash", "device", "done"}
    assert {"provision", "update", "install", "doctor", "verify"} <= named | {"doctor"}
    assert named <= set(VERBS), named


fleet = pytest.mark.skipif(not ANSIBLE, reason="only in `make check-fleet`: it needs Ansible")


class Fleet:
    """A fake device behind a real sshd on this machine, and the playbook on it."""

    def __init__(self, folder: Path, server: SshServer, device: Device) -> None:
        self.device, self.folder = device, folder
        self.package = folder / "scanside-0.2.0-jp6.2.tar"
        with tarfile.open(self.package, "w") as archive:
            archive.add(device.files / "new", "scanside-0.2.0-jp6.2")
        host = {
            "ansible_host": "127.0.0.1",
            "ansible_port": server.port,
            "ansible_user": "root",
            "ansible_become": False,
            "ansible_ssh_executable": str(server.client / "ssh"),
            "ansible_ssh_private_key_file": str(server.identity),
            "ansible_python_interpreter": sys.executable,
            "scanside_command": str(Path(sys.executable).with_name("scanside")),
            "scanside_root": str(device.root),
            "scanside_folder": str(folder / "brought"),
            "scanside_package": str(self.package),
            "scanside_bundles": [str(device.files / "new.scanside")],
            "scanside_provision": False,
            "scanside_start": False,
            "scanside_doctor_must_pass": False,
            "scanside_update_options": ["--allow-unsigned", "--limit", "0.5"],
            "scanside_install_options": [
                "--allow-unsigned", "--engine", "onnxruntime", "--threads", "1",
            ],
        }  # fmt: skip
        self.inventory = folder / "inventory.json"
        self.inventory.write_text(json.dumps({"scanners": {"hosts": {"ct-1": host}}}))

    def play(self, *words: str) -> tuple[int, dict[str, int], str]:
        """The exit code, the sums of the recap, and all that was said."""
        environment = {
            **os.environ,
            "PATH": f"{ANSIBLE}{os.pathsep}{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROLE / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "home/tmp"),
            "ANSIBLE_REMOTE_TEMP": str(self.folder / "home/remote"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_SSH_TRANSFER_METHOD": "piped",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            [f"{ANSIBLE}/ansible-playbook", "-i", str(self.inventory), "fleet.yml", *words],
            cwd=ROLE, env=environment, capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        said = done.stdout + done.stderr
        recap = re.search(r"^ct-1 +: (.*)$", said, re.MULTILINE)
        assert recap, said
        sums = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", recap[1])}
        return done.returncode, sums, said


@pytest.fixture
def one(tmp_path: Path) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        device = make_device(tmp_path / "device")
    systemctl = device.root / "usr/bin/systemctl"
    systemctl.write_text(systemctl.read_text().replace("echo active", "echo inactive"))
    with ssh_server(tmp_path, os.environ["PATH"]) as server:
        yield Fleet(tmp_path, server, device)


@fleet
def test_check_mode_changes_nothing_and_a_run_does_it_once(one: Fleet) -> None:
    def state() -> list[str]:
        return sorted(str(path) for path in one.device.root.rglob("*") if "/run/" not in str(path))

    before, chosen = state(), one.device.chosen()
    code, sums, said = one.play("--check")
    assert code == 0, said
    assert state() == before
    assert not (one.folder / "brought").exists()

    code, sums, said = one.play()
    assert code == 0, said
    assert sums["failed"] == 0
    assert trial.linked(one.device.application, trial.CURRENT).startswith("0.2.0-")
    assert one.device.chosen().active != chosen.active

    code, sums, said = one.play()
    assert (code, sums["changed"]) == (0, 0), said
    code, sums, said = one.play("--check")
    assert (code, sums["changed"], sums["ignored"]) == (0, 0, 0), said


@fleet
def test_of_two_bundles_a_second_run_touches_none(one: Fleet) -> None:
    """The first would become active again, and frames of a running device pass through it."""
    both = [str(one.device.files / f"{name}.scanside") for name in ("active", "new")]
    words = ["-e", json.dumps({"scanside_bundles": both, "scanside_package": ""})]
    code, _, said = one.play(*words)
    assert code == 0, said
    chosen = one.device.chosen()
    code, sums, said = one.play(*words)
    assert (code, sums["changed"]) == (0, 0), said
    assert one.device.chosen() == chosen


@fleet
def test_an_update_that_fails_ends_the_play_and_serves_what_was(one: Fleet) -> None:
    current = trial.linked(one.device.application, trial.CURRENT)
    with tarfile.open(one.package, "w") as archive:
        archive.add(one.device.files / "bad", "scanside-0.2.0-jp6.2")
    systemctl = one.device.root / "usr/bin/systemctl"
    systemctl.write_text(systemctl.read_text().replace("echo inactive", "echo active"))
    with answering(one.device):
        code, sums, said = one.play()
    assert code == 2
    assert sums["failed"] == 1
    assert "did not become READY" in said
    assert trial.linked(one.device.application, trial.CURRENT) == current


@fleet
def test_a_red_doctor_fails_the_play(one: Fleet) -> None:
    code, sums, said = one.play("-e", '{"scanside_doctor_must_pass": true, "scanside_bundles": []}')
    assert code == 2, said
    assert "What is red" in said
    assert sums["failed"] == 1


@fleet
def test_a_blank_device_is_set_up_by_the_packages_own_script(one: Fleet) -> None:
    place = one.folder / "blank/scanside-0.2.0-jp6.2"
    place.mkdir(parents=True)
    seen = one.folder / "seen"
    (place / "setup.sh").write_text(f'echo "$*" >> {seen}\n')
    (place / "package.json").write_text("{}")
    with tarfile.open(one.package, "w") as archive:
        archive.add(place, place.name)
    blank = ["-e", f"scanside_command={one.folder}/nowhere", "-e", "scanside_key=3cbc2d1f679f8c1a"]
    blank += ["-e", "scanside_doctor=false", "-e", '{"scanside_bundles": []}']
    code, _, said = one.play(*blank)
    assert code == 0, said
    code, _, said = one.play("--check", *blank)
    assert code == 0, said
    # As a power cut leaves it: unpacked in part, and of a package made before under this name.
    half = one.folder / "brought" / place.name
    assert not half.exists()
    half.mkdir()
    (half / "setup.sh").write_text("exit 1\n")
    (half / "package.json").write_text("{}")
    code, _, said = one.play(*blank)
    assert code == 0, said
    assert seen.read_text().splitlines() == [
        "--key 3cbc2d1f679f8c1a --", "--key 3cbc2d1f679f8c1a --dry-run --",
        "--key 3cbc2d1f679f8c1a --",
    ]  # fmt: skip
