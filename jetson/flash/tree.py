"""Is this folder a BSP tree that may be flashed from: the right release, whole, without a user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from scanside.jetson.flash.profile import Profile
from scanside.jetson.flash.templates import named_files
from scanside.jetson.flash.verdicts import Found, note, ok, refused
from scanside.runtime.fingerprint import l4t_of_file

RELEASE = "rootfs/etc/nv_tegra_release"
BSP_VERSION = "nv_tegra/bsp_version"
_EXTRACT = "extract the BSP and its root file system anew, then apply_binaries.sh, as docs/flash.md"
_PART = re.compile(r"^BSP_(BRANCH|MAJOR|MINOR)=(\d+)\s*$", re.MULTILINE)
_AUTOLOGIN = re.compile(r"^\s*AutomaticLoginEnable\s*=\s*true", re.MULTILINE | re.IGNORECASE)


def look_at_tree(tree: Path, profile: Profile) -> Iterator[Found]:
    if not (tree / "flash.sh").is_file():
        yield refused("BSP tree", f"{tree} is no Linux_for_Tegra", "name the folder with --bsp")
        return
    yield _release(tree, profile)
    missing = [name for name in named_files(profile) if not (tree / name).is_file()]
    if missing:
        yield refused("files of the command", f"not there: {', '.join(missing)}", _EXTRACT)
    else:
        yield ok("files of the command", f"{len(named_files(profile))} files are there")
    yield from _root_file_system(tree)


def _release(tree: Path, profile: Profile) -> Found:
    text = _text(tree / RELEASE)
    if text is None:
        return refused("BSP tree", f"it has no {RELEASE}", _EXTRACT)
    found = l4t_of_file(text)
    if found != profile.release:
        return refused(
            "BSP tree",
            f"its root file system is L4T {found or 'unknown'}, not {profile.release}",
            "take the tree of that release, or another profile",
        )
    said = _text(tree / BSP_VERSION)
    if said is None:
        return note("BSP tree", f"L4T {found} by {RELEASE}; it has no {BSP_VERSION} to compare")
    parts = dict(_PART.findall(said))
    bsp = ".".join(parts.get(name, "?") for name in ("BRANCH", "MAJOR", "MINOR"))
    if bsp != found:
        return refused("BSP tree", f"the BSP is {bsp}, its root file system {found}", _EXTRACT)
    return ok("BSP tree", f"L4T {found}, BSP and root file system alike")


def _root_file_system(tree: Path) -> Iterator[Found]:
    users = [
        line.split(":")[0]
        for line in (_text(tree / "rootfs/etc/passwd") or "").splitlines()
        if len(parts := line.split(":")) > 2
        and parts[2].isdigit()
        and 1000 <= int(parts[2]) < 65000
    ]
    if users:
        yield refused(
            "users", f"the root file system holds {', '.join(users)} of another flash", _EXTRACT
        )
    if _AUTOLOGIN.search(_text(tree / "rootfs/etc/gdm3/custom.conf") or ""):
        yield refused("users", "the root file system logs somebody in by itself", _EXTRACT)


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return stream.read(1 << 20).decode(errors="replace")
    except OSError:
        return None
