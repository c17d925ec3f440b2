"""Single readers: the forms that differ from release to release, and what must stay unknown."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fake_jetsons.boards import JP6_STATS, JP7_STATS, THOR_STATS
from fake_jetsons.tree import LOOP, make_jetson, write_script
from scanside.jetson.device import disk, read_device
from scanside.jetson.device.clock import read_time
from scanside.jetson.device.clocks import read_clocks
from scanside.jetson.device.disk import read_disk
from scanside.jetson.device.memory import read_memory
from scanside.jetson.device.module import read_module
from scanside.jetson.device.nodes import read_access
from scanside.jetson.device.packages import read_packages
from scanside.jetson.device.power import Power, PowerMode, read_power
from scanside.jetson.device.python import read_python
from scanside.jetson.device.release import read_release
from scanside.jetson.device.tegrastats import parse_stats, read_tegrastats
from scanside.jetson.device.thermal import read_thermal
from scanside.jetson.machine import Machine


def machine(folder: Path, files: dict[str, str | bytes]) -> Machine:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Machine(folder)


@pytest.mark.parametrize(
    ("line", "percent", "mhz", "milliwatts"),
    [
        (JP6_STATS, 10, (1300,), {"VDD_IN": 4951, "VDD_CPU_GPU_CV": 760}),
        (JP7_STATS, 12, (1300, 1300), {"VDD_IN": 4951, "VDD_CPU_GPU_CV": 760}),
        (THOR_STATS, None, (314, 314, 314), {"VDD_GPU": 1200, "VIN_SYS_5V0": 4000, "VIN": 31000}),
    ],
)
def test_the_three_forms_of_tegrastats(line, percent, mhz, milliwatts):
    stats = parse_stats(line.format(mb=7620))
    assert (stats.gpu_percent, stats.gpu_mhz) == (percent, mhz)
    assert stats.ram_total_mb == 7620
    assert stats.milliwatts == milliwatts
    assert stats.celsius["tj"] in (48.5, 42.5)


def test_tegrastats_in_a_form_of_tomorrow_tells_what_is_known():
    stats = parse_stats("RAM 1/2MB NEW[x] GR3D_FREQ ?? cpu@-256C gpu@40C VDD_IN 5W")
    assert (stats.ram_used_mb, stats.ram_total_mb) == (1, 2)
    assert (stats.gpu_percent, stats.gpu_mhz) == (None, ())
    assert stats.celsius == {"cpu": -256.0, "gpu": 40.0}


def test_tegrastats_that_goes_on_for_ever_is_stopped_and_read(tmp_path):
    root = make_jetson(tmp_path, endless_stats=True)
    started = time.monotonic()
    stats = read_tegrastats(Machine(root))
    assert stats is not None
    assert stats.gpu_percent == 10
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("text", "l4t"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic", "36.4.3"),
        ("# R39 (release), REVISION: 2.0", "39.2.0"),
        ("# R38 (release), REVISION: 2", "38.2"),
        ("R36", None),
        ("", None),
    ],
)
def test_the_release_file(tmp_path, text, l4t):
    assert read_release(machine(tmp_path, {"etc/nv_tegra_release": text})).l4t == l4t


def test_the_eeprom_goes_before_the_device_tree_and_neither_is_guessed(tmp_path):
    tnspec = {"etc/nv_boot_control.conf": "TNSPEC 3767-300-0003-T.2-1-1-x-\n"}
    tree = {"proc/device-tree/compatible": "nvidia,p3509-0000+p3767-0001\0nvidia,p3767-0001\0"}
    both = read_module(machine(tmp_path / "both", tnspec | tree))
    assert (both.name, both.disagreeing) == ("orin-nano-8gb", "orin-nx-8gb")
    alone = read_module(machine(tmp_path / "tree", tree))
    assert (alone.name, alone.source, alone.board) == ("orin-nx-8gb", "the device tree", None)
    model = {"proc/device-tree/model": "NVIDIA Jetson AGX Thor Developer Kit\0"}
    thor = read_module(machine(tmp_path / "model", model))
    assert thor.name is None
    assert thor.candidates == ("thor-t4000", "thor-t5000")
    unknown = {"etc/nv_boot_control.conf": "TNSPEC 3767-300-0099-T.2-1-1-x-\n"}
    other = read_module(machine(tmp_path / "unknown", unknown | model | tree))
    assert (other.name, other.candidates, other.board) == (None, (), "3767-0099")


def test_a_sku_that_only_the_device_tree_names_is_not_taken_for_another(tmp_path):
    model = {"proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0"}
    unknown = {"proc/device-tree/compatible": "nvidia,p3737-0000+p3701-0099\0"}
    found = read_module(machine(tmp_path / "unknown", model | unknown))
    assert (found.name, found.candidates) == (None, ())
    carrier = {"proc/device-tree/compatible": "contoso,p9999-0001\0nvidia,tegra234\0"}
    named = read_module(machine(tmp_path / "carrier", model | carrier)).candidates
    assert named == ("agx-orin-32gb", "agx-orin-64gb")


def test_packages_that_are_half_there_are_torn(tmp_path):
    states = ["ii ", "hi ", "it ", "iW ", "iU ", "iF ", "iH ", "iiR", "rc ", "un "]
    lines = "".join(
        f"{state}\\tnvidia-l4t-{n}\\t36.4.3-20250107\\n" for n, state in enumerate(states)
    )
    write_script(tmp_path / "usr/bin/dpkg-query", f"printf '{lines}'; exit 1")
    packages = read_packages(Machine(tmp_path))
    assert packages.torn == tuple(f"nvidia-l4t-{n}" for n in (4, 5, 6, 7))
    assert len(packages.l4t) == 8


def test_versions_of_packages_are_those_of_l4t_and_not_of_the_kernel(tmp_path):
    packages = read_packages(Machine(make_jetson(tmp_path, mixed="36.4.4")))
    assert packages.l4t["nvidia-l4t-kernel"] == "36.4.3"
    assert packages.l4t_versions["36.4.4"] == ("nvidia-l4t-camera",)
    assert packages.loose == ()
    assert packages.cudnn == "9.3.0.75-1"
    assert packages.tensorrt == packages.bindings == "10.3.0.30-1+cuda12.5"
    assert not read_packages(Machine(tmp_path / "nothing")).asked


def test_power_modes_are_read_by_name(tmp_path):
    power = read_power(Machine(make_jetson(tmp_path, mode="10W")))
    assert power.modes[:2] == (PowerMode(0, "MAXN_SUPER"), PowerMode(1, "10W"))
    assert (power.default, power.current) == ("25W", "10W")
    assert (power.id_of("25W"), power.id_of("26W")) == (3, None)


def test_figures_that_no_device_has_are_none(tmp_path):
    long = "9" * 5000
    files = {
        "proc/meminfo": f"MemTotal: {long} kB\n",
        "etc/nvpmodel.conf": f"< POWER_MODEL ID={long} NAME=X >\n< PM_CONFIG DEFAULT={long} >\n",
        "var/lib/nvpmodel/status": f"pmode:{long}\n",
        "sys/class/thermal/thermal_zone0/type": "a",
        "sys/class/thermal/thermal_zone0/temp": long,
        "sys/class/devfreq/17000000.gpu/available_frequencies": f"{long} 306000000",
        "etc/group": f"render:x:{long}:\n",
        "etc/passwd": f"a:x:1:{long}::/:/x\n",
    }
    looked = machine(tmp_path, files)
    write_script(tmp_path / "usr/bin/df", f"echo x {long} 0 {long} 0% /")
    write_script(tmp_path / "usr/bin/date", f"echo {long}")
    assert read_disk(looked)[0].free_mb is None
    assert read_time(looked).unix is None
    assert read_clocks(looked).gpu[0].hardware == 306
    assert (read_access(looked).group_ids, read_access(looked).users) == ({}, {})
    assert read_memory(looked).total_mb is None
    assert read_power(looked) == Power()
    assert read_thermal(looked).hottest is None
    stats = parse_stats(f"RAM {long}/{long}MB GR3D_FREQ {long}%@{long} VDD_IN {long}mW")
    assert (stats.ram_total_mb, stats.gpu_percent, stats.milliwatts) == (None, None, {})


def test_sensors_that_tell_nonsense_or_nothing_are_not_known(tmp_path):
    zone = "sys/class/thermal/thermal_zone"
    files = {f"{zone}0/type": "a", f"{zone}0/temp": "-256000", f"{zone}1/type": "b"}
    thermal = read_thermal(machine(tmp_path, files))
    assert [found.celsius for found in thermal.zones] == [None, None]
    assert thermal.hottest is None
    assert thermal.over_current is None
    assert thermal.fans == ()


def test_only_trips_that_slow_the_clocks_or_switch_off_count(tmp_path):
    zone = "sys/class/thermal/thermal_zone0"
    trips = [("passive", 70000), ("passive", 99000), ("hot", 80000), ("critical", 104500)]
    files = {f"{zone}/type": "tj", f"{zone}/temp": "75000"}
    for number, (kind, at) in enumerate(trips):
        files |= {f"{zone}/trip_point_{number}_type": kind, f"{zone}/trip_point_{number}_temp": at}
    files = {name: str(content) for name, content in files.items()}
    (loose,) = read_thermal(machine(tmp_path / "loose", files)).zones
    assert (loose.passive, loose.critical) == (70.0, 104.5)  # nothing tells what cools it
    files |= {f"{zone}/cdev0/type": "hot-surface-alert", f"{zone}/cdev0_trip_point": "0"}
    files |= {f"{zone}/cdev1/type": "devfreq-17000000.gpu", f"{zone}/cdev1_trip_point": "1"}
    (bound,) = read_thermal(machine(tmp_path / "bound", files)).zones
    assert (bound.passive, bound.critical) == (99.0, 104.5)


def test_a_disk_is_looked_at_where_the_folder_will_be(tmp_path):
    root = make_jetson(tmp_path)
    mounts = "/dev/a / ext4 rw 0 0\n/dev/b /var/lib ext4 ro 0 0\n/dev/c /var/lib/scan ext4 rw 0 0\n"
    (root / "proc/mounts").write_text(mounts)
    store, application, logs = read_disk(Machine(root))
    assert (store.writable, application.writable, logs.writable) == (False, True, True)
    assert store.free_mb == 40_000
    write_script(root / "usr/bin/df", 'echo "x - - - - /"')
    assert read_disk(Machine(root))[0].free_mb is None


def test_disks_that_hang_are_waited_for_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_SECONDS", 1.5)
    root = make_jetson(tmp_path, scripts={"df": "exec sleep 600"})
    began = time.monotonic()
    assert [room.free_mb for room in read_disk(Machine(root))] == [None, None, None]
    assert time.monotonic() - began < 7  # one after the other: 9


def test_membership_is_by_name_or_by_main_group(tmp_path):
    users = "a:x:1:104::/:/x\nb:x:2:2::/:/x\nc:x:3:3::/:/x\n"
    files = {"etc/passwd": users, "etc/group": "odd:x:²:c\nrender:x:104:b\n"}
    access = read_access(machine(tmp_path, files))
    assert [access.belongs(user, "render") for user in "abc"] == [True, True, False]
    assert read_access(Machine(tmp_path / "nothing")).belongs("a", "render") is None


def test_a_venv_of_the_system_is_no_foreign_python_but_condas_is(tmp_path):
    root = make_jetson(tmp_path)
    write_script(root / "venv/bin/python3", "exit 1")
    (root / "etc/environment").write_text("PATH=/venv/bin:/usr/bin\n")
    assert read_python(Machine(root)).foreign == "/venv/bin/python3"
    (root / "venv/pyvenv.cfg").write_text("home = /usr/bin\n")
    assert read_python(Machine(root)).foreign is None
    (root / "etc/environment").write_text("PATH=/a\0\0\0:/usr/bin\n")
    assert read_python(Machine(root)).foreign is None


def test_the_libraries_are_asked_in_the_devices_own_python(tmp_path):
    found = read_python(Machine(make_jetson(tmp_path, tensorrt="abort", cuda={"init": 801})))
    assert found.system == "3.10.12"
    assert found.asked == "/opt/scanside/current/bin/python"
    assert found.tensorrt.version is None
    assert found.tensorrt.error == "it ended with -6"
    assert (found.cuda.code, found.cuda.count) == (801, 0)
    assert found.pycuda.version == "2025.1.2"


def test_what_cannot_be_read_is_told_and_what_is_absent_is_not(tmp_path):
    root = make_jetson(tmp_path, files={"etc/passwd": LOOP, "etc/os-release": None})
    device = read_device(Machine(root))
    assert device.unreadable == ("/etc/passwd",)
    assert device.access.users is None
