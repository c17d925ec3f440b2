"""A throw-away system in which the real systemd starts the real unit: this machine's files under an
overlay, made to look like a Jetson, booted by systemd-nspawn without a network.

Needs root, systemd-nspawn and overlayfs. `python booted.py RESULTS WORK` runs in a mount namespace
of its own (unshare -m); what it changes goes with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
L4T = "36.4.3"
BOARDS = {
    8: ("3767-300-0003", "15W"),
    16: ("3767-301-0000", "25W"),
    32: ("3701-500-0004", "MODE_30W"),
    64: ("3701-500-0005", "MODE_30W"),
}
"""By the memory that this machine has, which the fake's module must have too."""
NODES = ("nvmap", "nvgpu/igpu0/ctrl", "nvgpu/igpu0/as", "dri/renderD128", "host1x-fence")
UNITS = {
    "try.target": """
        [Unit]
        Requires=basic.target try.service
        After=basic.target
    """,
    "try.service": """
        [Service]
        Type=oneshot
        ExecStart={python} {driver} /results {python}
        TimeoutStartSec=300
    """,
}
PYTHON = "opt/try/python"
PYTHON_SCRIPT = """#!/bin/sh
export PYTHONHOME=/opt/base PYTHONPATH=/opt/try LD_LIBRARY_PATH=/opt/base/lib
exec /opt/base/bin/python3 "$@"
"""
NVPMODEL = """#!/bin/sh
case "$1" in
-q) printf 'NV Power Mode: %s\\n1\\n' "$(cat /var/mode)";;
-m) echo {mode} >/var/mode;;
esac
"""


def memory_gb() -> int:
    from scanside.runtime.fingerprint import memory_class

    kib = int(Path("/proc/meminfo").read_text().split()[1])
    return memory_class(kib << 10)


def boot(results: Path, work: Path) -> int:
    """work: an empty folder. Returns nspawn's exit status."""
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "tmpfs", str(work))
    root = work / "root"
    for name in ("upper", "work", "root"):
        (work / name).mkdir()
    layers = f"lowerdir=/,upperdir={work}/upper,workdir={work}/work"
    run("mount", "-t", "overlay", "overlay", "-o", layers, str(root))
    disguise(root)
    command = [
        *("systemd-nspawn", "--quiet", "--directory", str(root), "--machine=scanside-try"),
        *("--private-network", "--register=no", "--keep-unit", "--link-journal=no"),
        f"--bind-ro={REPOSITORY}",
        f"--bind-ro={sys.base_prefix}:/opt/base",
        f"--bind={results}:/results",
        *(f"--bind=/dev/null:/dev/{name}" for name in NODES),
        "--bind=/dev/null:/dev/kmsg2",
        *("--boot", "systemd.unit=try.target"),
    ]
    return subprocess.run(command, timeout=280, check=False, stdin=subprocess.DEVNULL).returncode


def disguise(root: Path) -> None:
    board, mode = BOARDS[memory_gb()]
    version, _, revision = L4T.partition(".")
    modes = f"< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME={mode} >\n"
    csv = "etc/nvidia-container-runtime/host-files-for-container.d/devices.csv"
    files = {
        "etc/nv_tegra_release": f"# R{version} (release), REVISION: {revision}, GCID: 1\n",
        "etc/nv_boot_control.conf": f"TNSPEC {board}-M.2-1-1-jetson-\n",
        "etc/nvpmodel.conf": f"{modes}< PM_CONFIG DEFAULT=1 >\n",
        "var/mode": "MAXN\n",
        csv: "".join(f"dev, /dev/{name}\n" for name in NODES),
    }
    for name, text in UNITS.items():
        python, driver = f"/{PYTHON}", Path(__file__).with_name("booted_driver.py")
        files[f"etc/systemd/system/{name}"] = textwrap.dedent(text).format(
            python=python, driver=driver
        )
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    script(root / "usr/sbin/nvpmodel", NVPMODEL.format(mode=mode))
    # The application: this environment behind the name that the unit calls. Its Python may lie in a
    # home, where the unit sees nothing, so that it is mounted elsewhere.
    site = sysconfig.get_path("purelib")
    script(root / PYTHON, PYTHON_SCRIPT)
    script(root / "opt/try/sitecustomize.py", f"import site; site.addsitedir({site!r})\n")
    script(
        root / "opt/scanside/versions/0.1.0-test/bin/scanside",
        f'#!/bin/sh\nexec /{PYTHON} -m scanside.runtime "$@"\n',
    )
    (root / "opt/scanside/current").symlink_to("versions/0.1.0-test")
    for name in ("nvidia-l4t-core", "nvidia-l4t-cuda"):
        install_package(root, name)
    for group, number in (("render", 990), ("video", 44)):
        if f"\n{group}:" not in (root / "etc/group").read_text():
            with (root / "etc/group").open("a") as stream:
                stream.write(f"{group}:x:{number}:\n")


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def install_package(root: Path, name: str) -> None:
    """An empty package that dpkg really has installed, so that apt-mark really holds it."""
    folder = root / "var/made" / name
    (folder / "DEBIAN").mkdir(parents=True)
    (folder / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {L4T}-20250107174145\nArchitecture: all\n"
        "Maintainer: nobody\nDescription: a test's\n"
    )
    run("dpkg-deb", "--build", str(folder), f"{folder}.deb")
    run("chroot", str(root), "dpkg", "--install", f"/var/made/{name}.deb")


def run(*words: str) -> None:
    subprocess.run(words, check=True, stdout=sys.stderr)


HIDDEN = ("/tmp", "/run", "/dev", "/home", "/root")
"""systemd-nspawn mounts folders of its own over the first ones; the unit's ProtectHome= hides the
others."""


def missing() -> str:
    """What this machine lacks for it; empty where nothing."""
    if os.geteuid() != 0:
        return "needs root"
    hidden = next((one for one in HIDDEN if Path(sys.prefix).resolve().is_relative_to(one)), "")
    if hidden:
        return f"what lies below {hidden} is hidden from the unit that boots: clone it elsewhere"
    for tool in ("systemd-nspawn", "unshare", "dpkg-deb", "systemd-analyze"):
        if shutil.which(tool) is None:
            return f"needs {tool} (Debian's systemd-container)"
    if memory_gb() not in BOARDS:
        return "no module has as much memory as this machine"
    layers = "lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w"
    script = (
        "mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w /mnt/m && "
        f"mount -t overlay o -o {layers} /mnt/m"
    )
    tried = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "needs overlayfs and a mount namespace"


if __name__ == "__main__":
    sys.exit(boot(Path(sys.argv[1]), Path(sys.argv[2])))
