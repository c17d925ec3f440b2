"""Killed, or without power, at any instant: the old bundle and version or the new ones, whole."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

import device_kills
from cut_images import Site
from device_cuts import SCENES, killed, replay
from device_scenes import Device, answering, copy_of, make_device, starts, version_starts
from scanside.jetson.application import trial
from scanside.runtime.store import Store

KILLED = ("install", "rollback", "prune", "update", "update_to_bad")
# Superfluous in one scene where another sync of the same folder follows, needed in another.
COVERED_BY: dict[tuple[str, str], str] = {
    ("prune", "kept_plans.py"): "prune_evidence",
    ("begin", "store.py"): "open",
    ("update", "trial.py"): "begin",
    ("update_to_bad", "trial.py"): "begin",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Device:
    with contextlib.redirect_stdout(io.StringIO()):
        return make_device(tmp_path_factory.mktemp("device"))


@pytest.mark.parametrize("verb", SCENES)
def test_a_power_cut_leaves_the_old_or_the_new_and_every_fsync_is_needed_for_it(
    base: Device, tmp_path_factory: pytest.TempPathFactory, verb: str
) -> None:
    scratch = tmp_path_factory.mktemp("cut")  # short: the path of a socket in it may be 107 bytes
    found = replay(base, scratch / verb, verb)
    assert not found.wrong
    assert found.steps >= 7
    assert found.variants > found.steps
    unnoticed = {
        site
        for number, site in enumerate(sorted(found.sites))
        if not replay(base, scratch / f"{verb}.{number}", verb, site).wrong
    }
    for site in unnoticed:
        other = COVERED_BY[verb, _file_of(site)]
        assert replay(base, scratch / f"{other}.{_named(site)}", other, site).wrong, site


def test_every_call_that_syncs_is_met(
    base: Device, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """So that what is added to install and update later is cut too."""
    scratch, met = tmp_path_factory.mktemp("cut"), set()
    for verb in SCENES:
        for site in replay(base, scratch / verb, verb).sites:
            met |= set(site)
    syncing = re.compile(
        r"\b(os\.fsync|(?<!def )sync_folder|replace_file|make_folder|remove_files)\("
    )
    missing = set()
    for folder in ("application", "install"):
        for path in (REPOSITORY / "jetson" / folder).glob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if syncing.search(line) and f"{path.name}:{number}" not in met:
                    missing.add(f"{path.name}:{number} {line.strip()}")
    assert not missing


def _file_of(site: Site) -> str:
    return site[-1].partition(":")[0]


def _named(site: Site) -> str:
    return "-".join(site).replace(":", "_")


@pytest.mark.parametrize("verb", KILLED)
def test_a_kill_at_any_call_leaves_the_old_or_the_new_and_it_can_be_done_again(
    base: Device, tmp_path: Path, verb: str
) -> None:
    work = tmp_path / "work"
    with answering(base) if verb.startswith("update") else contextlib.nullcontext():
        steps = killed(base, work, verb)
    assert steps >= 6
    before = base.chosen(), trial.linked(base.application, trial.CURRENT)
    last = Device(work / str(steps + 1), base.files)
    after = last.chosen()
    for number in range(1, steps + 1):
        device = Device(work / str(number), base.files)
        trial.main(device.application, device.root / "log")
        store = Store(device.store, allow_unsigned=True)
        assert store.chosen() in (before[0], after), number
        starts(store)
        store.previous()
        current = version_starts(device.application)
        assert current == before[1] or (verb == "update" and current.startswith("0.2.0-")), number
        if verb in ("install", "prune"):
            assert not getattr(device, verb)().failed, number
            assert device.chosen() == after, number
    if verb == "install":
        assert after != before[0]


def test_a_version_on_trial_is_rolled_back_once_and_logged(base: Device, tmp_path: Path) -> None:
    device = copy_of(base, tmp_path / "device")
    old = trial.linked(device.application, trial.CURRENT)
    before = trial.linked(device.application, trial.PREVIOUS)
    new = str(before)  # any whole version that is not the current one
    trial.begin(device.application, new)
    script = REPOSITORY / "jetson" / "application" / "trial.py"
    command = [
        "/usr/bin/python3",
        "-I",
        str(script),
        str(device.application),
        str(tmp_path / "log"),
    ]
    told = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2)]
    assert json.loads(told[0].stdout)["event"] == "rolled back at start"
    assert told[1].stdout == ""
    assert trial.linked(device.application, trial.CURRENT) == old
    assert trial.linked(device.application, trial.PREVIOUS) == before
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_kills_at_random_instants(tmp_path: Path) -> None:
    """The short form of `make kills-device`."""
    command = [sys.executable, device_kills.__file__, "40"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^wrong +0$", done.stdout, re.MULTILINE)
