"""A PC with a fake BSP tree and a fake USB: scripts that write down how they were started.

Written after the public formats of NVIDIA's scripts; none of their text is here. Each script adds a
line to `calls` of its name and words, so that a test can tell that one was never started.
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

from scanside.jetson.flash.profile import load_profile
from scanside.jetson.flash.templates import host_of, named_files

PROFILE = {
    "module": "orin-nx-16gb",
    "carrier": "p3768",
    "release": "36.4.3",
    "storage": "nvme",
    "user": "field",
    "hostname": "scanside-07",
}
SERIAL = "1421222081234"
USB_IDS = {
    "orin-nx-16gb": "7323", "orin-nx-8gb": "7423", "orin-nano-8gb": "7523", "orin-nano-4gb": "7623",
    "agx-orin-64gb": "7023", "agx-orin-32gb": "7223", "thor-t5000": "7026", "thor-t4000": "7226",
}  # fmt: skip
BOARDS = {
    "orin-nx-16gb": ("3767", "0000"), "orin-nx-8gb": ("3767", "0001"),
    "orin-nano-8gb": ("3767", "0005"), "orin-nano-4gb": ("3767", "0004"),
    "agx-orin-64gb": ("3701", "0005"), "agx-orin-32gb": ("3701", "0004"),
    "thor-t5000": ("3834", "0008"), "thor-t4000": ("3834", "0000"),
}  # fmt: skip
_SCRIPT = f"""#!{sys.executable} -IS
import json, os, sys, time
place = os.path.dirname(os.path.abspath(__file__))
while not os.path.isdir(os.path.join(place, "rootfs")):
    place = os.path.dirname(place)
name = os.path.basename(__file__)
with open(os.path.join(place, "calls"), "a") as stream:
    stream.write(json.dumps([name, os.getcwd(), sys.argv[1:], dict(os.environ)]) + "\\n")
usb = os.path.join(place, "..", "pc", "sys/bus/usb/devices")
"""
_EEPROM = """
instance = sys.argv[sys.argv.index("--usb-instance") + 1]
print(open(os.path.join(place, "eeprom")).read(), flush=True)
devnum = os.path.join(usb, instance, "devnum")
number = int(open(devnum).read()) + 1
open(devnum, "w").write(str(number))
sys.exit(int(open(os.path.join(place, "eeprom.code")).read()))
"""
_USER = """
user, secret = (sys.argv[sys.argv.index(word) + 1] for word in ("--username", "--password"))
etc = os.path.join(place, "rootfs/etc")
for name, line in (("passwd", f"{user}:x:1000:1000::/home/{user}:/bin/bash"),
                   ("shadow", f"{user}:hash-of-{secret}:20000::::::"),
                   ("group", f"{user}:x:1000:")):
    open(os.path.join(etc, name), "a").write(line + "\\n")
open(os.path.join(etc, "hostname"), "w").write("another")
os.makedirs(os.path.join(place, "rootfs/home", user))
print("Creating user", user, "with", secret)
"""
_FLASH = """
shadow = open(os.path.join(place, "rootfs/etc/shadow")).read()
open(os.path.join(place, "shadow.seen"), "w").write(shadow)
print(open(os.path.join(place, "flash.says")).read(), flush=True)
sys.exit(int(open(os.path.join(place, "flash.code")).read()))
"""


class Scene(NamedTuple):
    """root: of the fake PC. tree: Linux_for_Tegra. state: of the wrapper's logs."""

    root: Path
    tree: Path
    profile: Path
    state: Path

    def calls(self, name: str = "") -> list[list[Any]]:
        file = self.tree / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [call for line in lines if name in (call := json.loads(line))[0]]

    @property
    def flashes(self) -> list[list[Any]]:
        return self.calls("l4t_initrd_flash.sh")

    def profiled(self, **changes: Any) -> None:
        self.profile.write_text(json.dumps({**PROFILE, **changes}))

    def eeprom(
        self, module: str, *, baseboard: str = "", fuses: str = "NS", code: int = 0, says: str = ""
    ) -> None:
        board, sku = BOARDS[module] if module in BOARDS else module.split("-")
        lines = [
            "*** Checking target board connection ... 1 connections found.",
            f"*** Reading ECID ... FUSELEVEL=fuselevel_production hwchipid=0x23 bootauth={fuses}",
            "--- Reading board information succeeded.",
            "Parsing module EEPROM:",
            f"--- Parsing board ID ({board}) succeeded.",
            "--- Parsing board version (300) succeeded.",
            f"--- Parsing board SKU ({sku}) succeeded.",
            "--- Parsing board REV (M.1) succeeded.",
        ]
        if baseboard:
            lines += [
                "Parsing baseboard EEPROM:",
                f"--- Parsing baseboard ID ({baseboard}) succeeded.",
            ]
        (self.tree / "eeprom").write_text(says or "\n".join([*lines, "jetson-x found."]))
        (self.tree / "eeprom.code").write_text(str(code))

    def flash_ends(self, says: str = "Flash is successful\nReboot device", code: int = 0) -> None:
        (self.tree / "flash.says").write_text("Step 1\nStep 3: Start the flashing process\n" + says)
        (self.tree / "flash.code").write_text(str(code))

    def plug(
        self, instance: str, product: str, *, serial: str = SERIAL, vendor: str = "0955"
    ) -> None:
        folder = self.root / "sys/bus/usb/devices" / instance
        folder.mkdir(parents=True, exist_ok=True)
        number = int((folder / "devnum").read_text()) + 1 if (folder / "devnum").exists() else 5
        for name, text in (("idVendor", vendor), ("idProduct", product), ("devnum", str(number))):
            (folder / name).write_text(f"{text}\n")
        if serial:
            (folder / "serial").write_text(serial)

    def unplug(self, instance: str) -> None:
        for file in (self.root / "sys/bus/usb/devices" / instance).iterdir():
            file.unlink()

    def release(self, l4t: str) -> None:
        branch, major, minor = l4t.split(".")
        (self.tree / "rootfs/etc/nv_tegra_release").write_text(
            f"# R{branch} (release), REVISION: {major}.{minor}, GCID: 1, BOARD: generic\n"
        )
        (self.tree / "nv_tegra/bsp_version").write_text(
            f"BSP_BRANCH={branch}\nBSP_MAJOR={major}\nBSP_MINOR={minor}\n"
        )

    def tarballs(self, l4t: str) -> dict[str, Path]:
        """Both, as they would be published for this very tree."""
        folder = self.root.parent / "downloads"
        folder.mkdir(exist_ok=True)
        bsp = folder / f"Jetson_Linux_R{l4t}_aarch64.tbz2"
        with tarfile.open(bsp, "w:bz2") as archive:
            for path in sorted(self.tree.rglob("*")):
                if path.is_symlink() or path.suffix in (".sh", ".conf", ".xml"):
                    archive.add(path, f"Linux_for_Tegra/{path.relative_to(self.tree)}")
        roots = folder / f"Tegra_Linux_Sample-Root-Filesystem_R{l4t}_aarch64.tbz2"
        roots.write_bytes(b"a root file system")
        return {"bsp": bsp, "rootfs": roots}


def make_scene(folder: Path, **changes: Any) -> Scene:
    """A PC that may flash an Orin NX 16 GB with L4T 36.4.3. changes: of its profile."""
    scene = Scene(
        folder / "pc", folder / "Linux_for_Tegra", folder / "profile.json", folder / "state"
    )
    folder.mkdir(exist_ok=True)
    scene.profiled(**changes)
    wanted = {**PROFILE, **changes}
    for name in ("rootfs/etc", "rootfs/home", "nv_tegra"):
        (scene.tree / name).mkdir(parents=True)
    for name in ("passwd", "shadow", "group"):
        (scene.tree / "rootfs/etc" / name).write_text("root:x:0:0:root:/root:/bin/bash\n")
    for name in named_files(load_profile(scene.profile)):
        path = scene.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        body = {"nvautoflash.sh": _EEPROM, "l4t_create_default_user.sh": _USER}.get(
            path.name, _FLASH
        )
        path.write_text(_SCRIPT + body if path.suffix == ".sh" else f"# {name}\n")
        path.chmod(0o755 if path.suffix == ".sh" else 0o644)
    (scene.tree / "another.conf").symlink_to(f"{named_files(load_profile(scene.profile))[-1]}")
    scene.release(wanted["release"])
    for name, text in (
        ("uname", "echo x86_64"),
        ("dpkg-query", 'for last; do :; done; grep -qx "$last" "$(dirname "$0")/../../installed" '
         '&& echo "install ok installed"'),
    ):  # fmt: skip
        tool = scene.root / "usr/bin" / name
        tool.parent.mkdir(parents=True, exist_ok=True)
        tool.write_text(f"#!/bin/sh\n{text}\n")
        tool.chmod(0o755)
    host = host_of(wanted["release"])
    (scene.root / "installed").write_text("\n".join(host.packages) + "\n")
    (scene.root / "etc").mkdir()
    (scene.root / "etc/os-release").write_text(
        f'PRETTY_NAME="Ubuntu {host.ubuntu[-1]}"\nVERSION_ID="{host.ubuntu[-1]}"\n'
    )
    # What lies beside it on a real bus: a root hub, an interface, a mouse, a Jetson that runs.
    for name, vendor, product in (
        ("usb3", "1d6b", "0002"), ("3-9:1.0", "0955", "7323"), ("3-1", "046d", "c077"),
        ("3-2", "0955", "7020"),
    ):  # fmt: skip
        scene.plug(name, product, vendor=vendor)
    scene.plug("3-9", USB_IDS[wanted["module"]])
    scene.eeprom(wanted["module"], baseboard="4071" if "thor" in wanted["module"] else "")
    scene.flash_ends()
    return scene
