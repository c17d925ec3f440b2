"""`scanside device provision` killed, and where parts of it are there with other contents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import provision_kills
import pytest

from fake_jetsons.tree import USERS
from provisioning import Make, provision, refused, steps_of
from scanside.jetson.application import CHECK_UNIT
from scanside.jetson.layout import ENVIRONMENT
from scanside.runtime.errors import DeviceError
from stateful_tools import blank_jetson, installed

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others: needs root")

STRIDE = 12
"""A kill takes seconds: `python provision_kills.py BASE WORK` takes every change in turn."""
PERSON = "scanside:x:1000:1000::/home/scanside:/bin/bash\n"
SERVICE = USERS.splitlines(True)[2]


@pytest.fixture
def jetson(tmp_path: Path) -> Make:
    def make(**changes: Any) -> Path:
        return installed(blank_jetson(tmp_path / "root", **{"mode": "15W", **changes}))

    return make


def test_killed_anywhere_and_run_again_it_is_as_if_it_never_was(
    jetson: Make, tmp_path: Path
) -> None:
    assert provision_kills.killed(jetson(), tmp_path / "work", STRIDE) > 8 * STRIDE


@pytest.mark.parametrize("folder", ["etc/scanside", "etc/scanside/wire", "etc/systemd/system"])
def test_what_a_kill_left_half_written_goes_and_others_files_stay(
    jetson: Make, folder: str
) -> None:
    root = jetson()
    left, other = (root / folder / name for name in (f".{'a' * 32}.part", ".theirs.part"))
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text("half a secret key")
    other.write_text("another program's")
    assert provision(root, "--wire-keys").exit_code == 0
    assert not left.exists()
    assert other.exists()


@pytest.mark.parametrize(
    ("passwd", "shadow", "said"),
    [
        (PERSON, "", "/bin/bash"),
        ("scanside:x:999:999::/:\n", "", "/bin/sh"),
        ("scanside:x:0:0::/root:/usr/sbin/nologin\n", "", "root by another name"),
        (SERVICE, "scanside:$6$x$y:20000::::::\n", "password"),
        (SERVICE, "scanside::20000::::::\n", "password"),
    ],
)
def test_a_user_of_that_name_who_can_log_in_is_refused(
    jetson: Make, passwd: str, shadow: str, said: str
) -> None:
    people = USERS.splitlines(True)[0]
    root = jetson(files={"etc/passwd": people + passwd, "etc/shadow": f"root:*:1::::::\n{shadow}"})
    assert said in refused(root).message


@pytest.mark.parametrize("secret", ["!", "!!", "*", "!$6$x$y"])
def test_the_services_own_user_is_taken_as_it_is(jetson: Make, secret: str) -> None:
    group = "root:x:0:\nvideo:x:44:\nrender:x:104:\nscanside:x:999:\n"
    root = jetson(
        files={
            "etc/passwd": USERS,
            "etc/group": group,
            "etc/shadow": f"scanside:{secret}:20000::::::\n",
        }
    )
    result = provision(root, "--json")
    assert result.exit_code == 0, result.output
    taken = steps_of(result)
    assert (taken["group scanside"], taken["user scanside"]) == ("unchanged", "unchanged")
    assert taken["scanside is in render and video"] == "done"
    assert (root / "var/lib/scanside").stat().st_uid == 999


def test_a_public_key_without_its_secret_is_not_replaced_behind_the_clients_back(
    jetson: Make,
) -> None:
    root = jetson()
    provision(root, "--wire-keys")
    wire = root / "etc/scanside/wire"
    public = (wire / "server.pub").read_bytes()
    (wire / "server.key").unlink()
    result = provision(root, "--wire-keys")
    assert result.exit_code == DeviceError.exit_code
    assert "put server.key back" in result.output
    assert (wire / "server.pub").read_bytes() == public


def test_settings_that_are_no_utf8_are_refused_and_stay(jetson: Make) -> None:
    root = jetson()
    file = root / ENVIRONMENT.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_bytes("# für uns\nOTHER=1\n".encode("latin-1"))
    assert "UTF-8" in refused(root).message


def test_a_units_other_contents_are_put_back_and_a_masked_one_is_told(jetson: Make) -> None:
    root = jetson()
    provision(root)
    unit = root / "etc/systemd/system/scanside.service"
    text = unit.read_text()
    unit.write_text(text.replace("User=scanside", "User=root"))
    assert steps_of(provision(root, "--json"))["unit scanside.service"] == "done"
    assert unit.read_text() == text
    unit.unlink()
    unit.symlink_to("/dev/null")
    assert "is something else" in provision(root).output


def test_systemd_reads_the_updates_unit_anew_too(jetson: Make) -> None:
    root = jetson()
    show = root / "usr/bin/systemctl"
    asked = root / "var/fake/asked"
    show.write_text(show.read_text().replace("exec ", f'echo "$@" >> {asked}\nexec ', 1))
    provision(root)
    assert CHECK_UNIT in next(x for x in asked.read_text().splitlines() if "DaemonReload" in x)
