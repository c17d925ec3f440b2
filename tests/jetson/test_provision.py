"""`scanside device provision` on fake devices whose tools remember what they were told."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fake_jetsons.tree import BOARDS
from provisioning import Make, picture, provision, refused, steps_of
from scanside.jetson.layout import DEVICES_DROP_IN
from scanside.jetson.provision.folders import FOLDERS
from scanside.runtime.errors import DeviceError
from stateful_tools import blank_jetson, calls, installed

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others: needs root")


@pytest.fixture
def jetson(tmp_path: Path) -> Make:
    def make(**changes: Any) -> Path:
        return installed(blank_jetson(tmp_path / "root", **{"mode": "15W", **changes}))

    return make


ALL = ("--time-server", "ntp.hospital", "--wire-keys", "--address", "192.168.7.20/24")


def test_a_second_run_changes_nothing(jetson: Make) -> None:
    root = jetson()
    first = provision(root, *ALL, "--json")
    assert first.exit_code == 0, first.output
    before, told = picture(root), calls(root)
    second = provision(root, *ALL, "--json")
    assert set(steps_of(second).values()) == {"unchanged"}
    assert picture(root) == before
    assert calls(root) == told


def test_a_dry_run_changes_nothing_and_tells_what_the_run_then_does(jetson: Make) -> None:
    root = jetson()
    before = picture(root)
    dry = provision(root, *ALL, "--json", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert picture(root) == before
    assert calls(root) == []
    would = {title for title, outcome in steps_of(dry).items() if outcome == "would"}
    done = {t for t, o in steps_of(provision(root, *ALL, "--json")).items() if o == "done"}
    # Whether systemd's picture is stale shows only once units were written.
    assert done - would == {"systemd has read the units"}
    assert would <= done


def test_the_user_cannot_log_in(jetson: Make) -> None:
    root = jetson()
    provision(root)
    (line,) = [one for one in (root / "etc/passwd").read_text().splitlines() if "scanside" in one]
    assert line.endswith(":/var/lib/scanside:/usr/sbin/nologin")
    tools = {call.split()[0] for call in calls(root)}
    assert tools == {"groupadd", "useradd", "usermod", "systemctl", "apt-mark", "nvpmodel"}
    assert not any("password" in call or " -p " in call for call in calls(root))
    groups = (root / "etc/group").read_text()
    assert "video:x:44:scanside\n" in groups
    assert "render:x:104:scanside\n" in groups


def test_every_folder_has_its_owner_and_mode_and_gets_it_back(jetson: Make) -> None:
    root = jetson()
    provision(root)
    wrong = root / "var/lib/scanside"
    wrong.chmod(0o777)
    os.chown(root / "etc/scanside/wire", 0, 0)
    result = provision(root, "--json")
    done = [title for title, outcome in steps_of(result).items() if outcome == "done"]
    assert done == ["folder /etc/scanside/wire", "folder /var/lib/scanside"]
    for place in FOLDERS:
        status = (root / place.name.lstrip("/")).stat()
        ids = {"root": 0, "scanside": 998}
        assert stat.S_IMODE(status.st_mode) == place.mode, place
        assert (status.st_uid, status.st_gid) == (ids[place.user], ids[place.group]), place


def test_a_link_in_a_folders_place_is_not_followed(jetson: Make, tmp_path: Path) -> None:
    root = jetson()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (root / "var/lib").mkdir(parents=True, exist_ok=True)
    (root / "var/lib/scanside").symlink_to(elsewhere)
    result = provision(root)
    assert result.exit_code == DeviceError.exit_code
    assert "something else" in result.output
    assert elsewhere.stat().st_uid == 0


def test_the_command_is_on_everybodys_path(jetson: Make) -> None:
    root = jetson()
    provision(root)
    link = root / "usr/local/bin/scanside"
    assert os.readlink(link) == "/opt/scanside/current/bin/scanside"
    link.unlink()
    link.symlink_to("/somewhere/old")
    assert steps_of(provision(root, "--json"))["link /usr/local/bin/scanside"] == "done"
    link.unlink()
    link.write_text("another program")
    result = provision(root)
    assert "no link of ours" in result.output
    assert link.read_text() == "another program"


def test_the_nodes_are_those_of_the_devices_own_list_and_those_that_are_there(jetson: Make) -> None:
    listed = "dev, /dev/nvmap\ndev, /dev/nvhost-gone\nsym, /dev/x\nlib, /usr/lib/y\n#dev, /dev/no\n"
    listed += "dev, /dev/a b\ndev, /dev/../etc/shadow\ndev, /dev/nvme0\n"
    csv = "etc/nvidia-container-runtime/host-files-for-container.d/devices.csv"
    root = jetson(files={csv: listed})
    os.mknod(root / "dev/nvme0", 0o600 | stat.S_IFBLK, os.makedev(7, 200))
    provision(root)
    text = (root / DEVICES_DROP_IN.lstrip("/")).read_text()
    nodes = [line.split("=")[1] for line in text.splitlines() if line.startswith("DeviceAllow=")]
    assert nodes == sorted(nodes)
    assert {node.removesuffix(" rw") for node in nodes} == {
        "/dev/nvmap", "/dev/nvhost-gone", "/dev/nvgpu/igpu0/ctrl", "/dev/nvgpu/igpu0/as",
        "/dev/dri/renderD128", "/dev/host1x-fence", "/dev/nvidia0", "/dev/nvidiactl",
        "/dev/nvsciipc",
    }  # fmt: skip


def test_without_nvidias_list_the_nodes_that_are_there_count(jetson: Make) -> None:
    csv = "etc/nvidia-container-runtime/host-files-for-container.d/devices.csv"
    root = jetson(files={csv: None})
    assert provision(root).exit_code == 0
    assert (
        "DeviceAllow=/dev/nvgpu/igpu0/ctrl rw" in (root / DEVICES_DROP_IN.lstrip("/")).read_text()
    )


def test_a_device_without_its_render_node_is_refused(jetson: Make) -> None:
    error = refused(jetson(nodes=("nvmap", "nvgpu/igpu0/ctrl", "host1x-fence")))
    assert "/dev/dri/renderD*" in error.message


def test_thor_which_has_other_nodes_waits_for_those_that_it_has(jetson: Make) -> None:
    root = jetson(module="thor-t5000", l4t="38.4.0", mode="MAXN")
    result = provision(root)
    assert result.exit_code == 0, result.output
    text = (root / "etc/systemd/system/scanside-gpu.service.d/nodes.conf").read_text()
    assert 'Environment="NODES=/dev/nvidia0 /dev/nvidiactl /dev/dri/renderD*"' in text


@pytest.mark.parametrize(
    "module", [m for m in BOARDS if m.startswith(("orin", "agx-orin", "thor"))]
)
def test_every_module_gets_its_default_power_mode(jetson: Make, module: str) -> None:
    thor = module.startswith("thor")
    root = jetson(module=module, l4t="38.4.0" if thor else "36.4.3", mode=BOARDS[module].modes[0])
    result = provision(root, "--json")
    assert result.exit_code == 0, result.output
    from scanside.runtime.platforms import modules

    (default,) = [name for name, use in modules()[module].power.items() if use == "default"]
    (title,) = [title for title in steps_of(result) if title.startswith("power mode")]
    assert title.removeprefix("power mode ").removeprefix("MODE_") == default


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"files": {"etc/nv_boot_control.conf": "TNSPEC 3999-1-0000-A.1-1-1-x-\n",
                    "proc/device-tree/model": "Contoso\0", "proc/device-tree/compatible": "x,y\0"}},
         "unknown"),
        ({"module": "xavier-nx", "l4t": "35.5.0", "mode": None}, "JetPack 5"),
        ({"l4t": "35.5.0"}, "JetPack 5"),
        ({"l4t": "37.1.0"}, "belongs to no JetPack"),
        ({"l4t": "36.4.7", "mixed": "36.4.4"}, "36.4.4"),
        ({"free_mb": 500}, "500 MiB"),
        ({"inodes": 10}, "inodes"),
        ({"mounted": "ro,relatime"}, "read-only"),
        ({"gib": 7.4}, "not 16 GB"),
        ({"available_mb": 300}, "300 MiB"),
        ({"files": {"etc/group": "root:x:0:\nvideo:x:44:\n"}}, "render"),
    ],
)  # fmt: skip
def test_a_device_that_is_not_fit_is_refused_and_not_touched(
    jetson: Make, changes: dict[str, Any], said: str
) -> None:
    assert said in refused(jetson(**changes)).message


def test_whoever_is_not_root_is_refused(jetson: Make) -> None:
    root = jetson()
    before = picture(root)
    # Everything is loaded first: this Python may lie where only root can read.
    script = f"""
import os
from pathlib import Path
from scanside.jetson.machine import Machine
from scanside.jetson.provision import Wishes, provision_steps
from scanside.runtime.errors import DeviceError
provision_steps(Machine(Path({str(root)!r})), Wishes())
os.seteuid(65534)
try:
    provision_steps(Machine(Path({str(root)!r})), Wishes())
except DeviceError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert "only root" in done.stdout
    assert "sudo" in done.stdout
    assert picture(root) == before


def test_without_an_application_a_package_is_asked_for(tmp_path: Path) -> None:
    assert "--package" in refused(blank_jetson(tmp_path / "root")).next_step


def test_a_tool_that_fails_stops_with_its_own_words(jetson: Make) -> None:
    root = jetson()
    (root / "usr/bin/useradd").write_text("#!/bin/sh\necho 'cannot lock /etc/passwd' >&2; exit 1\n")
    result = provision(root)
    assert result.exit_code == DeviceError.exit_code
    assert "cannot lock /etc/passwd" in result.output
    assert not (root / "etc/scanside").exists()
