"""What `scanside flash` refuses: in each case NVIDIA's flash script was never started."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flash_scenes import SERIAL, Scene, make_scene
from scanside.jetson.cli.flash import flash
from scanside.jetson.flash import eeprom, first_boot
from scanside.jetson.flash import run as flash_run
from scanside.jetson.flash.plan import alone
from scanside.runtime.errors import FlashError, TargetError


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make_scene(tmp_path)


def run(scene: Scene, *words: object, typed: str = SERIAL, installed: str = "blank") -> Result:
    said = ["run", scene.profile, "--bsp", scene.tree, "--root", scene.root, "--accept-license"]
    said += ["--state", scene.state, "--installed", installed, *words]
    return CliRunner().invoke(flash, [str(word) for word in said], input=f"{typed}\n")


def refused(scene: Scene, result: Result, text: str, *, eeprom_read: bool = False) -> None:
    assert scene.flashes == []
    assert scene.calls("user") == []
    assert bool(scene.calls("nvautoflash")) == eeprom_read
    assert text in result.output + str(result.exception)
    assert result.exit_code in (2, 20) or isinstance(result.exception, FlashError | TargetError)
    assert not list(scene.state.glob("*.secret"))


def remove(name: str) -> Callable[[Scene], None]:
    return lambda scene: (scene.tree / name).unlink()


def write(name: str, text: str) -> Callable[[Scene], object]:
    def do(scene: Scene) -> None:
        (scene.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (scene.tree / name).write_text(text)

    return do


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (remove("rootfs/etc/nv_tegra_release"), "has no rootfs/etc/nv_tegra_release"),
        (remove("flash.sh"), "is no Linux_for_Tegra"),
        (remove("jetson-orin-nano-devkit.conf"), "not there: jetson-orin-nano-devkit.conf"),
        (remove("bootloader/generic/cfg/flash_t234_qspi.xml"), "flash_t234_qspi.xml"),
        (remove("tools/kernel_flash/flash_l4t_t234_nvme.xml"), "flash_l4t_t234_nvme.xml"),
        (remove("tools/l4t_create_default_user.sh"), "l4t_create_default_user.sh"),
        (lambda scene: scene.release("36.4.4"), "is L4T 36.4.4, not 36.4.3"),
        (
            write("nv_tegra/bsp_version", "BSP_BRANCH=36\nBSP_MAJOR=5\nBSP_MINOR=0\n"),
            "BSP is 36.5.0",
        ),
        (
            write("rootfs/etc/passwd", "x:x:1000:1000::/home/x:/bin/sh\n"),
            "holds x of another flash",
        ),
        (write("rootfs/etc/gdm3/custom.conf", "AutomaticLoginEnable = true\n"), "by itself"),
        (lambda scene: scene.unplug("3-9"), "no Jetson is in recovery mode"),
        (lambda scene: scene.plug("3-10", "7323"), "2 are in recovery mode"),
        (lambda scene: scene.plug("3-10", "7026"), "2 are in recovery mode"),
        (lambda scene: scene.plug("3-10", "7326"), "2 are in recovery mode"),
        (lambda scene: scene.plug("3-9", "7423"), "orin-nx-8gb; the profile is for orin-nx-16gb"),
        (lambda scene: scene.plug("3-9", "7926"), "no module that is known here"),
    ],
)
def test_a_tree_or_a_port_that_is_not_right(
    scene: Scene, fault: Callable[[Scene], object], said: str
) -> None:
    fault(scene)
    refused(scene, run(scene), said)


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ("uname", "it is no x86_64"),
        ("os-release", "it runs Debian"),
        ("installed", "not installed: abootimg"),
    ],
)
def test_a_pc_that_is_not_right(scene: Scene, tool: str, said: str) -> None:
    if tool == "uname":
        (scene.root / "usr/bin/uname").write_text("#!/bin/sh\necho aarch64\n")
    elif tool == "os-release":
        (scene.root / "etc/os-release").write_text('PRETTY_NAME="Debian 12"\nVERSION_ID="12"\n')
    else:
        text = (scene.root / "installed").read_text()
        (scene.root / "installed").write_text(text.replace("abootimg\n", ""))
    refused(scene, run(scene), said)


@pytest.mark.parametrize(
    ("board", "said"),
    [
        ("orin-nx-8gb", "it is 3767-0001, orin-nx-8gb; the profile is orin-nx-16gb"),
        ("3767-", "no module that is known here"),
        ("9999-0000", "no module that is known here"),
    ],
)
def test_an_eeprom_that_disagrees(scene: Scene, board: str, said: str) -> None:
    scene.eeprom(board)
    refused(scene, run(scene), said, eeprom_read=True)


def test_a_carrier_that_disagrees(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, module="thor-t5000", carrier="p4071", release="38.4.0")
    scene.eeprom("thor-t5000", baseboard="3971")
    refused(scene, run(scene), "it is p3971, the profile says p4071", eeprom_read=True)


@pytest.mark.parametrize(("fuses", "named"), [("PKC", ""), ("SBKPKC", "pkc"), ("NS", "pkc")])
def test_fuses_and_keys_that_do_not_fit(
    scene: Scene, tmp_path: Path, fuses: str, named: str
) -> None:
    scene.eeprom("orin-nx-16gb", fuses=fuses)
    (tmp_path / "pkc").write_text("key")
    (tmp_path / "pkc").chmod(0o600)
    words = ["--pkc-key", tmp_path / "pkc"] if named else []
    refused(scene, run(scene, *words), "fuses: it is", eeprom_read=True)


def test_fuses_that_are_not_told(scene: Scene) -> None:
    text = (scene.tree / "eeprom").read_text()
    scene.eeprom("orin-nx-16gb", says=text.replace("bootauth", "else"))
    refused(scene, run(scene), "does not tell whether it is fused", eeprom_read=True)


def test_keys_that_others_can_read(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "pkc").write_text("key")
    (tmp_path / "pkc").chmod(0o644)
    refused(scene, run(scene, "--pkc-key", tmp_path / "pkc"), "readable by others")
    refused(scene, run(scene, "--sbk-key", tmp_path / "pkc"), "--sbk-key without --pkc-key")


@pytest.mark.parametrize(
    ("installed", "release", "said"),
    [
        ("36.5.0", "36.4.3", "is a downgrade"),
        ("39.2.0", "36.4.3", "is a downgrade"),
        ("35.4.1", "36.4.3", "leads through 35.5.0 or later"),
        ("35.4.1", "39.2.0", "leads through 35.5.0 or later"),
        ("newest", "36.4.3", "is neither an L4T"),
    ],
)
def test_what_may_not_follow_what_is_there(
    tmp_path: Path, installed: str, release: str, said: str
) -> None:
    scene = make_scene(tmp_path, release=release)
    refused(scene, run(scene, installed=installed), said)


def test_what_may_follow(tmp_path: Path) -> None:
    for number, (installed, release) in enumerate([("35.5.0", "36.4.3"), ("35.1.0", "35.5.0")]):
        scene = make_scene(tmp_path / str(number), release=release)
        assert run(scene, installed=installed).exit_code == 0
        assert len(scene.flashes) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"odmdata": "0x1"}, "is no profile"),
        ({"options": "--erase-all"}, "is no profile"),
        ({"fuse": "burn.xml"}, "is no profile"),
        ({"password": "nvidia"}, "is no profile"),
        ({"user": "nvidia"}, "the user 'nvidia' cannot be taken"),
        ({"user": "x; reboot"}, "cannot be taken"),
        ({"hostname": "-a"}, "the hostname '-a' cannot be taken"),
        ({"carrier": "", "board": "x;reboot"}, "no name of a configuration"),
        ({"carrier": "", "board": "--odmdata"}, "no name of a configuration"),
        ({"carrier": "", "board": "../x"}, "no name of a configuration"),
        ({"carrier": "", "board": "another-odm"}, "not there: another-odm.conf"),
        ({"carrier": ""}, "either a carrier or a board"),
        ({"carrier": "p3737"}, "no carrier 'p3737' is known for orin-nx-16gb"),
        ({"storage": "emmc"}, "no way is known"),
        ({"storage": "sda"}, "is no profile"),
        ({"module": "xavier-nx"}, "Xavier"),
        ({"module": "orin"}, "there is no module 'orin'"),
        ({"release": "35.4.1"}, "older than 35.5.0"),
        ({"release": "36.3.0"}, "not supported"),
        ({"release": "latest"}, "is no L4T"),
        ({"release": "38.4.0"}, "there is no target"),
        ({"release": "36.4.0", "super": True}, "no super configuration"),
    ],
)
def test_a_profile_that_wants_what_is_not_to_be_had(
    scene: Scene, changes: dict[str, object], said: str
) -> None:
    scene.profiled(**changes)
    refused(scene, run(scene), said)


@pytest.mark.parametrize("words", [["--odmdata", "1"], ["-O"], ["--", "--burn"], ["extra"]])
def test_words_of_nvidias_scripts_are_not_ours(scene: Scene, words: list[str]) -> None:
    refused(scene, run(scene, *words), "Usage")


@pytest.mark.parametrize("typed", ["", "y", "yes", SERIAL[:-1], "orin-nx-16gb"])
def test_what_is_typed_must_be_the_word(scene: Scene, typed: str) -> None:
    result = run(scene, typed=typed)
    refused(scene, result, "not what was asked for", eeprom_read=True)


def test_nobody_flashes_without_the_licence(scene: Scene) -> None:
    words = [
        "run",
        scene.profile,
        "--bsp",
        scene.tree,
        "--root",
        scene.root,
        "--installed",
        "blank",
    ]
    result = CliRunner().invoke(flash, [str(word) for word in words], input=SERIAL)
    refused(scene, result, "licence")


def test_a_device_that_changed_while_it_was_asked(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    import click

    def typed(*words: object, **more: object) -> str:
        scene.plug("3-9", "7323")
        return SERIAL

    monkeypatch.setattr(click, "prompt", typed)
    refused(scene, run(scene), "meanwhile", eeprom_read=True)


@pytest.mark.parametrize("where", ["eeprom", "flash", "lost"])
def test_nothing_is_tried_again_after_a_usb_error(
    scene: Scene, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "eeprom":
        scene.eeprom("orin-nx-16gb", says="*** Error: ECID read failed.", code=7)
    elif where == "flash":
        scene.flash_ends("Error: Return value 8", code=1)
    else:
        monkeypatch.setattr(eeprom, "BACK_S", 0.0)
        script = scene.tree / "nvautoflash.sh"
        script.write_text(
            script.read_text().replace(
                "sys.exit",
                "os.unlink(devnum); os.unlink(os.path.join(usb, instance, 'idVendor')); sys.exit",
            )
        )
    first = run(scene)
    assert first.exit_code == 20
    flashed = 1 if where == "flash" else 0
    assert len(scene.flashes) == flashed
    assert len(scene.calls("nvautoflash")) == 1
    if where == "lost":
        assert "did not come back" in first.output
        return
    again = run(scene)
    assert again.exit_code == 20
    assert "over this connection something failed" in again.output
    assert len(scene.flashes) == flashed
    assert len(scene.calls("nvautoflash")) == 1
    scene.plug("3-9", "7323")  # power off, cable out, recovery mode anew
    scene.eeprom("orin-nx-16gb")
    scene.flash_ends()
    assert run(scene).exit_code == 0
    assert len(scene.flashes) == flashed + 1


def test_a_script_that_makes_no_user(scene: Scene) -> None:
    for text in ("#!/bin/sh\nexit 0\n", "#!/bin/sh\nexit 1\n"):
        (scene.tree / "tools/l4t_create_default_user.sh").write_text(text)
        result = run(scene)
        assert "first user could not be made" in str(result.exception)
        assert scene.flashes == []
        scene.plug("3-9", "7323")


def test_a_user_that_the_root_file_system_has_of_its_own(scene: Scene) -> None:
    """The script would not make it, and the device would have none that can log in."""
    passwd = scene.tree / "rootfs/etc/passwd"
    passwd.write_text(passwd.read_text() + "field:x:1:1::/usr/sbin:/usr/sbin/nologin\n")
    result = run(scene)
    assert "has an account field of its own" in str(result.exception)
    assert scene.flashes == scene.calls("user") == []


@pytest.mark.parametrize("lost_at", range(4))
def test_a_tree_whose_user_was_half_removed_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, lost_at: int
) -> None:
    """As after a power cut: what is left of the user must never go unseen."""
    etc = scene.tree / "rootfs/etc"
    before = {path.name: path.read_bytes() for path in etc.iterdir()}
    put, calls = first_boot._put_back, []

    def cut(path: Path, content: bytes | None) -> None:
        if path.name in before and before[path.name] != path.read_bytes():
            calls.append(path.name)
            if len(calls) > lost_at:
                raise SystemExit
        put(path, content)

    monkeypatch.setattr(first_boot, "_put_back", cut)
    run(scene)
    monkeypatch.undo()
    left = {name for name, raw in before.items() if (etc / name).read_bytes() != raw}
    assert bool(left) == (lost_at < 3), "passwd, shadow, group"
    scene.plug("3-9", "7323")
    again = run(scene)
    assert (again.exit_code == 20) == bool(left), left
    assert ("of another flash" in again.output) == bool(left)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_flash_that_was_broken_off_is_not_tried_again(
    scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    how: signal.Signals,
) -> None:
    def interrupted(*words: object, **more: object) -> None:
        assert signal.getsignal(how) not in (signal.SIG_DFL, signal.default_int_handler)
        signal.raise_signal(how)

    before_tests = signal.signal(how, signal.SIG_DFL)  # which nohup may have started
    request.addfinalizer(lambda: signal.signal(how, before_tests))

    before = (scene.tree / "rootfs/etc/shadow").read_text()
    monkeypatch.setattr(flash_run, "run_child", interrupted)
    assert run(scene).exit_code != 0
    monkeypatch.undo()
    assert (scene.tree / "rootfs/etc/shadow").read_text() == before
    (scene.tree / "calls").unlink()
    assert "the flash was broken off" in run(scene).output
    assert scene.calls() == []


def test_a_flash_that_fails_leaves_no_user_either(scene: Scene) -> None:
    scene.flash_ends("something", code=1)
    before = (scene.tree / "rootfs/etc/shadow").read_text()
    assert run(scene).exit_code == 20
    assert (scene.tree / "rootfs/etc/shadow").read_text() == before


def test_two_flashes_do_not_share_a_tree(scene: Scene) -> None:
    with alone(scene.tree):
        refused(scene, run(scene), "another flash goes on")


def test_sums_that_do_not_agree(scene: Scene) -> None:
    tarballs = scene.tarballs("36.4.3")
    sums = tarballs["bsp"].parent / "sums"

    def summed() -> None:
        sums.write_text(
            "\n".join(
                f"{hashlib.sha1(one.read_bytes()).hexdigest()} *{one.name}"
                for one in tarballs.values()
            )
        )

    summed()
    conf = scene.tree / "jetson-orin-nano-devkit.conf"
    for text, said in ((conf.read_text() + "ODMDATA=1\n", "not as NVIDIA packed it"),):
        kept = conf.read_text()
        conf.write_text(text)
        refused(scene, run(scene, "--sums", sums), said)
        conf.write_text(kept)
    tarballs["rootfs"].write_bytes(b"another")
    refused(scene, run(scene, "--sums", sums), "its sha1 is not the one")
    tarballs["rootfs"].unlink()
    refused(scene, run(scene, "--sums", sums), "No such file")
    once = sums.read_text().splitlines()[0]
    for lines in ("no sums", f"{once}\n{once}"):
        sums.write_text(lines)
        refused(scene, run(scene, "--sums", sums), "holds no sums of both")
    older = tarballs["bsp"].rename(tarballs["bsp"].with_name("Jetson_Linux_R36.4.4_aarch64.tbz2"))
    tarballs["bsp"] = older
    tarballs["rootfs"].touch()
    summed()
    refused(scene, run(scene, "--sums", sums), "it is of 36.4.4")


def test_a_refusal_is_told_as_json(scene: Scene) -> None:
    scene.unplug("3-9")
    result = run(scene, "--json")
    told = json.loads(result.stdout)
    assert told["end"] == "refused"
    assert any(one["verdict"] == "refused" and one["next_step"] for one in told["plan"]["found"])
    assert result.exit_code == 20
