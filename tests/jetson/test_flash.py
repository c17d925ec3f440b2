"""`scanside flash`: the way that ends well, and what it leaves behind. Nothing ran on hardware."""

from __future__ import annotations

import hashlib
import json
import stat
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import REPOSITORY

from flash_scenes import BOARDS, PROFILE, SERIAL, Scene, make_scene
from scanside.jetson.cli.flash import flash
from scanside.jetson.flash import eeprom
from scanside.jetson.flash.child import Ended
from scanside.jetson.flash.ends import end_of
from scanside.jetson.flash.recovery import recovery_devices
from scanside.jetson.flash.templates import Carrier, Command, Host, rows
from scanside.jetson.machine import Machine
from scanside.runtime.platforms import modules

NX = (
    "./tools/kernel_flash/l4t_initrd_flash.sh --external-device nvme0n1p1 "
    "-c tools/kernel_flash/flash_l4t_t234_nvme.xml "
    "-p '-c bootloader/generic/cfg/flash_t234_qspi.xml' --showlogs --network usb0 "
    "--usb-instance 3-9 jetson-orin-nano-devkit internal"
)


def run(scene: Scene, verb: str, *words: object, typed: str = SERIAL) -> Result:
    said = [verb, str(scene.profile), "--bsp", str(scene.tree), "--root", str(scene.root)]
    said += ["--state", str(scene.state)]
    if verb != "check":
        said += ["--installed", "blank"] if "--installed" not in words else []
    if verb == "run" and "--dry-run" not in words:
        said += ["--accept-license"]
    return CliRunner().invoke(flash, [*said, *map(str, words)], input=f"{typed}\n")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make_scene(tmp_path)


def test_check_starts_no_script_and_shows_the_command(scene: Scene) -> None:
    result = run(scene, "check")
    assert result.exit_code == 0, result.output
    assert NX in result.output
    assert "checksums: not checked" in result.output
    assert scene.calls() == []
    assert not scene.state.exists()


@pytest.mark.parametrize("words", [("plan",), ("run", "--dry-run")])
def test_a_plan_reads_the_eeprom_and_no_more(scene: Scene, words: tuple[str, ...]) -> None:
    result = run(scene, *words)
    assert result.exit_code == 0, result.output
    assert [call[0] for call in scene.calls()] == ["nvautoflash.sh"]
    assert scene.calls()[0][2] == ["--print_boardid", "--usb-instance", "3-9"]
    assert "3767-0000 is Jetson Orin NX 16 GB" in result.output


def test_a_flash_starts_the_very_command_once_and_leaves_no_user(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BOARDID", "ODMDATA", "EXTOPTIONS", "FUSELEVEL", "LD_PRELOAD"):
        monkeypatch.setenv(name, "")
    etc = scene.tree / "rootfs/etc"
    before = {path.name: path.read_bytes() for path in etc.iterdir()}
    result = run(scene, "run")
    assert result.exit_code == 0, result.output
    names = ["nvautoflash.sh", "l4t_create_default_user.sh", "l4t_initrd_flash.sh"]
    assert [call[0] for call in scene.calls()] == names
    _, folder, words, environment = scene.flashes[0]
    assert folder == str(scene.tree)
    assert words[-4:] == ["--usb-instance", "3-9", "jetson-orin-nano-devkit", "internal"]
    assert "-c bootloader/generic/cfg/flash_t234_qspi.xml" in words
    assert set(environment) <= {"PATH", "LC_ALL", "HOME", "TERM", "LC_CTYPE"}
    assert "Step 3: Start the flashing process" in result.stderr
    assert {path.name: path.read_bytes() for path in etc.iterdir()} == before
    assert list((scene.tree / "rootfs/home").iterdir()) == []


def test_the_secret_is_of_this_device_and_in_one_closed_file(scene: Scene) -> None:
    seen = []
    for _ in range(2):
        result = run(scene, "run", "--json")
        assert result.exit_code == 0, result.output
        file = Path(json.loads(result.stdout)["secret"])
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        hostname, user, secret = file.read_text().split()
        assert (hostname, user) == ("scanside-07", "field")
        assert f"field:hash-of-{secret}:" in (scene.tree / "shadow.seen").read_text()
        assert len(secret) == 20
        others = [
            path for path in scene.state.iterdir() if path != file and path.suffix != ".secret"
        ]
        assert others
        assert not any(secret in path.read_text() for path in others)
        assert secret not in result.output
        seen.append(secret)
        scene.plug("3-9", "7323")
    assert len(set(seen)) == 2
    words = scene.calls("user")[0][2]
    assert "--autologin" not in words
    assert "-a" not in words
    assert words[-1] == "--accept-license"


def test_a_secret_that_is_shown_is_in_no_file(scene: Scene) -> None:
    result = run(scene, "run", "--show-secret")
    assert result.exit_code == 0, result.output
    secret = scene.calls("user")[0][2][3]
    assert result.output.count(secret) == 1
    assert not any(secret in path.read_text() for path in scene.state.iterdir())


def test_what_was_flashed_is_told_as_json(scene: Scene) -> None:
    result = run(scene, "run", "--json")
    told = json.loads(result.stdout)
    assert told["end"] == "success"
    assert told["plan"]["device"]["instance"] == "3-9"
    assert told["plan"]["words"][-1] == "internal"
    assert Path(told["log"]).read_text().count("Flash is successful") == 1


@pytest.mark.parametrize(
    ("module", "release", "storage", "carrier", "words"),
    [
        ("orin-nano-8gb", "35.5.0", "nvme", "p3768", "flash_l4t_external.xml"),
        ("orin-nano-8gb", "36.5.0", "nvme", "p3768", "jetson-orin-nano-devkit internal"),
        ("orin-nx-8gb", "39.2.0", "nvme", "p3768", "./l4t_initrd_flash.sh --external-device"),
        ("agx-orin-64gb", "36.4.3", "emmc", "p3737", "jetson-agx-orin-devkit internal"),
        ("agx-orin-32gb", "36.4.3", "nvme", "p3737", "jetson-agx-orin-devkit external"),
        ("thor-t5000", "38.4.0", "nvme", "p4071", "jetson-agx-thor-devkit internal"),
        ("thor-t4000", "39.2.0", "nvme", "p4071", "jetson-agx-thor-t4000 internal"),
    ],
)
def test_each_generation_has_its_own_command(
    tmp_path: Path, module: str, release: str, storage: str, carrier: str, words: str
) -> None:
    scene = make_scene(tmp_path, module=module, release=release, storage=storage, carrier=carrier)
    result = run(scene, "run")
    assert result.exit_code == 0, result.output
    assert words in result.output
    assert len(scene.flashes) == 1


def test_the_super_configuration_is_only_by_an_explicit_word(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, super=True)
    result = run(scene, "check")
    assert "jetson-orin-nano-devkit-super internal" in result.output
    assert "which a carrier must be cooled for" in result.output
    assert "super" not in NX


def test_a_device_without_a_serial_number_is_confirmed_by_module_and_port(scene: Scene) -> None:
    (scene.root / "sys/bus/usb/devices/3-9/serial").unlink()
    assert run(scene, "run", typed="orin-nx-16gb 3-9").exit_code == 0
    assert len(scene.flashes) == 1


def test_of_two_devices_the_named_one_is_flashed(scene: Scene) -> None:
    scene.plug("3-10.2", "7323", serial="other")
    result = run(scene, "run", "--usb-instance", "3-10.2", typed="other")
    assert result.exit_code == 0, result.output
    assert scene.flashes[0][2][-3:-2] == ["3-10.2"]


def test_a_fused_device_is_flashed_with_its_keys(scene: Scene, tmp_path: Path) -> None:
    scene.eeprom("orin-nx-16gb", fuses="SBKPKC")
    keys = []
    for name in ("pkc", "sbk"):
        (tmp_path / name).write_text("key")
        (tmp_path / name).chmod(0o600)
        keys += [f"--{name}-key", tmp_path / name]
    assert run(scene, "run", *keys).exit_code == 0
    assert scene.flashes[0][2][:4] == ["-u", str(tmp_path / "pkc"), "-v", str(tmp_path / "sbk")]


def test_sums_and_tooling_that_agree_are_told(scene: Scene) -> None:
    tarballs = scene.tarballs("36.4.3")
    sums = tarballs["bsp"].parent / "sums"
    lines = [
        f"{hashlib.sha256(one.read_bytes()).hexdigest()}  {one.name}" for one in tarballs.values()
    ]
    sums.write_text("\n".join(lines) + "\n")
    result = run(scene, "check", "--sums", sums)
    assert result.exit_code == 0, result.output
    assert result.output.count("its sha256 agrees") == 2
    assert "as NVIDIA packed them" in result.output
    md5 = [f"{hashlib.md5(one.read_bytes()).hexdigest()} {one.name}" for one in tarballs.values()]
    sums.write_text("\n".join(md5))
    assert "damage, not a forgery" in run(scene, "check", "--sums", sums).output


@pytest.mark.parametrize(
    ("code", "lines", "end"),
    [
        (0, ["Flash is successful"], "success"),
        (0, ["*** Flashing success"], "success"),
        (0, ["Step 3"], "unknown"),
        (0, [], "unknown"),
        (0, ["ECID read failed", "Flash is successful"], "unknown"),
        (1, ["Flash is successful"], "failed"),
        (3, ["USB communication failed.Check if device is in recovery"], "usb"),
        (1, ["SSH ready", "mount.nfs: Connection timed out"], "host"),
        (1, ["cp: No space left on device"], "disk"),
        (-9, ["Step 1"], "failed"),
    ],
)
def test_ends_are_told_apart(code: int, lines: list[str], end: str) -> None:
    assert end_of(Ended(code, tuple(lines), 1.0)).name == end


@pytest.mark.parametrize(("baseboard", "code"), [("3768", 0), ("3737", 20)])
def test_a_carrier_whose_eeprom_is_read_on_orin_too(
    scene: Scene, baseboard: str, code: int
) -> None:
    scene.eeprom("orin-nx-16gb", baseboard=baseboard)
    assert run(scene, "run").exit_code == code
    assert len(scene.flashes) == (code == 0)


def test_a_guess_is_told_and_does_not_stand_in_the_way(tmp_path: Path) -> None:
    scene = make_scene(
        tmp_path, module="thor-t4000", carrier="p4071", release="39.2.0", storage="nvme"
    )
    text = (scene.root / "installed").read_text()
    (scene.root / "installed").write_text(text.replace("abootimg\n", ""))
    result = run(scene, "run")
    assert result.exit_code == 0, result.output
    assert "command: uncertain for this release: storage" in result.output
    assert "carrier: uncertain for this release: board" in result.output
    assert "not installed: abootimg; what L4T 39.2.0 needs is uncertain" in result.output


def test_what_was_carried_over_to_the_newest_releases_is_marked() -> None:
    for row in rows("commands.json", Command):
        assert row.uncertain or not {"38", "39"} & {one.split(".")[0] for one in row.l4t}, row
    assert [row.uncertain for row in rows("hosts.json", Host) if "39" in row.l4t] == [
        ("ubuntu", "packages")
    ]
    assert "## What is a guess" in (REPOSITORY / "docs/flash.md").read_text()


@pytest.mark.parametrize(
    ("gone_s", "back_s", "stays_s", "found"),
    [(0.1, 0.3, 9.0, True), (0.1, None, 9.0, False), (None, None, 0.2, True)],
    ids=["it comes back", "it is lost", "it never went"],
)
def test_the_device_is_waited_for_after_its_eeprom(
    scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
    gone_s: float | None,
    back_s: float | None,
    stays_s: float,
    found: bool,
) -> None:
    machine = Machine(scene.root)
    [device] = recovery_devices(machine)
    monkeypatch.setattr(eeprom, "BACK_S", 1.0)
    monkeypatch.setattr(eeprom, "STAYS_S", stays_s)
    timers = []
    if gone_s is not None:
        timers.append(threading.Timer(gone_s, scene.unplug, ["3-9"]))
    if back_s is not None:
        number = int((scene.root / "sys/bus/usb/devices/3-9/devnum").read_text()) + 1

        def plug() -> None:
            scene.plug("3-9", "7323")
            (scene.root / "sys/bus/usb/devices/3-9/devnum").write_text(str(number))

        timers.append(threading.Timer(back_s, plug))
    for timer in timers:
        timer.start()
    there = eeprom._is_back(machine, device)
    now = recovery_devices(machine)
    for timer in timers:
        timer.join()
    assert there == found
    assert bool(now) == found
    assert not found or (now[0].session != device.session) == (back_s is not None)


def test_the_tables_are_of_known_modules_and_have_sources() -> None:
    named = modules()
    assert set(BOARDS) == {name for name, module in named.items() if not module.refused}
    for row in (*rows("commands.json", Command), *rows("carriers.json", Carrier)):
        assert row.source
        for prefix in row.modules:
            assert any(name.startswith(prefix) for name in named)
    for name in BOARDS:
        assert any(name.startswith(row.modules) for row in rows("carriers.json", Carrier))
    assert all(row.packages and row.source for row in rows("hosts.json", Host))


def test_the_documents_profile_is_one() -> None:
    text = (REPOSITORY / "docs/flash.md").read_text()
    assert json.loads(text.split("```json\n")[1].split("```")[0]) == PROFILE
