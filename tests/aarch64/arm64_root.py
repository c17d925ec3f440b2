"""A small arm64 system in a folder, and running its programs here: no binfmt, no root, no chroot.

Debian's packages are fetched by debootstrap and unpacked, not set up: enough for Python. PRoot puts
qemu before each program that a program starts. The host's /sys stays outside: ONNX Runtime crashes
where it finds an x86 described there.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

MIRROR = "http://deb.debian.org/debian"
SUITE, PYTHON = "bookworm", "3.11"
TOOLS = {"debootstrap": "debootstrap", "qemu-aarch64-static": "qemu-user-static", "proot": "proot"}


def missing_tools() -> list[str]:
    """Debian packages to install first."""
    return sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})


def make_root(folder: Path) -> Path:
    """The system in `folder`; made beside it and renamed, so that half of one is never used."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    fetched, beside = folder.with_name("fetched"), folder.with_name("unpacked")
    for one in (fetched, beside):
        shutil.rmtree(one, ignore_errors=True)
    command = ["debootstrap", "--arch=arm64", "--foreign", "--variant=minbase"]
    command += ["--include=python3,python3-venv", SUITE, str(fetched), MIRROR]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
    beside.mkdir()
    for package in sorted((fetched / "var/cache/apt/archives").glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(beside)], check=True, timeout=120)
    for name, text in {
        "passwd": "root:x:0:0:root:/root:/bin/bash\n",
        "group": "root:x:0:\n",
        "hostname": "arm64\n",
    }.items():
        (beside / "etc" / name).write_text(text)
    shutil.rmtree(fetched)
    beside.rename(folder)
    return folder


def command_in(
    root: Path,
    *words: str,
    binds: Sequence[Path | str] = (),
    environment: Mapping[str, str] | None = None,
    folder: str = "/",
) -> list[str]:
    """The command line that runs `words` in the system. binds: HOST or HOST:GUEST paths that are
    seen in it too."""
    line = ["proot", "-q", "qemu-aarch64-static", "-0", "-r", str(root), "-w", folder]
    for bind in ("/dev", "/proc", *binds):
        line += ["-b", str(bind)]
    own = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    given = {**own, "LC_ALL": "C.UTF-8", **(environment or {})}
    return [*line, "/usr/bin/env", "-i", *(f"{k}={v}" for k, v in given.items()), *words]
