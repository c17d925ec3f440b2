"""Are the tarballs what NVIDIA published, and is the tree's tooling what is in them.

The sums come from the user, who copied them from NVIDIA's release page: none is known here.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from scanside.jetson.flash.verdicts import Found, note, ok, refused

_LINE = re.compile(r"([0-9a-fA-F]{32,128})\s+\*?(\S+)")
_BY_LENGTH = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
_WEAK = ("md5", "sha1")
_VERSION = re.compile(r"[rR](\d+\.\d+(?:\.\d+)?)")
_TOOLING = re.compile(
    r"(?:[^/]+\.conf(?:\.common)?|[^/]+\.sh|tools/l4t_create_default_user\.sh"
    r"|tools/kernel_flash/[^/]+\.(?:sh|xml)|bootloader/(?:generic|t186ref)/cfg/[^/]+\.xml)"
)
_LOAD = "download it again from NVIDIA and extract it anew"


def look_at_sums(tree: Path, release: str, sums: Path | None, tarballs: Path) -> Iterator[Found]:
    """sums: lines of a digest and a file's name, as sha256sum prints them. tarballs: where those
    files lie."""
    if sums is None:
        yield note(
            "checksums", "not checked: no file of sums", "--sums FILE with those of NVIDIA's page"
        )
        return
    try:
        text = sums.read_text(errors="replace")
    except OSError as error:
        yield refused("checksums", f"{sums.name}: {error.strerror}", "name another file")
        return
    found = [match for line in text.splitlines() if (match := _LINE.fullmatch(line.strip()))]
    kinds = {_is_root(match[2]) for match in found}
    if len(kinds) < 2 or any(len(one[1]) not in _BY_LENGTH for one in found):
        yield refused(
            "checksums",
            f"{sums.name} holds no sums of both tarballs",
            "a line each for the BSP and the root file system: digest, blanks, name",
        )
        return
    for match in found:
        yield _tarball(tarballs / Path(match[2]).name, match[1].lower(), release)
    for match in found:
        path = tarballs / Path(match[2]).name
        if not _is_root(path.name) and path.is_file():
            yield _tooling(tree, path)


def _is_root(name: str) -> bool:
    return "root" in Path(name).name.lower()


def _tarball(path: Path, digest: str, release: str) -> Found:
    kind = _BY_LENGTH[len(digest)]
    version = _VERSION.search(path.name)
    if version and version[1] not in (release, release.removesuffix(".0")):
        return refused(path.name, f"it is of {version[1]}, not of {release}", _LOAD)
    try:
        with path.open("rb") as stream:
            summed = hashlib.new(kind, usedforsecurity=False)
            while block := stream.read(1 << 20):
                summed.update(block)
    except OSError as error:
        return refused(path.name, f"{error.strerror}", "name its folder with --tarballs")
    if summed.hexdigest() != digest:
        return refused(path.name, f"its {kind} is not the one in the file of sums", _LOAD)
    if kind in _WEAK:
        return note(path.name, f"its {kind} agrees: that shows damage, not a forgery")
    return ok(path.name, f"its {kind} agrees")


def _tooling(tree: Path, tarball: Path) -> Found:
    """Configurations, layouts and scripts, against the tarball: a tree whose ODMDATA or layout was
    edited differs from it."""
    same, other = 0, []
    try:
        with tarfile.open(tarball, "r|*") as archive:
            for member in archive:
                name = member.name.removeprefix("./").removeprefix("Linux_for_Tegra/")
                if not _TOOLING.fullmatch(name):
                    continue
                mine = tree / name
                if member.issym():
                    agrees = mine.is_symlink() and os.readlink(mine) == member.linkname
                elif member.isfile():
                    stream = archive.extractfile(member)
                    agrees = stream is not None and _reads(mine) == stream.read()
                else:
                    continue
                same += agrees
                if not agrees:
                    other.append(name)
    except (tarfile.TarError, OSError, EOFError) as error:
        return refused("tooling", f"{tarball.name} cannot be read: {error}", _LOAD)
    if other or not same:
        names = ", ".join(other[:5]) or "none of it is in the tarball"
        return refused("tooling", f"not as NVIDIA packed it: {names}", _LOAD)
    return ok("tooling", f"{same} scripts, configurations and layouts are as NVIDIA packed them")


def _reads(path: Path) -> bytes | None:
    try:
        return None if path.is_symlink() else path.read_bytes()
    except OSError:
        return None
