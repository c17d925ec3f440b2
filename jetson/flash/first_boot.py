"""A device's first user: in the root file system while it is flashed, with its own secret.

NVIDIA's script writes the user into the tree, where the next device would get the same one: what it
changes is put back when the flash has ended, however it ended. A tree where that did not happen
(power lost) still holds the user, and is refused.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from scanside.jetson.flash.child import run_child
from scanside.jetson.flash.profile import Profile
from scanside.runtime.errors import FlashError
from scanside.runtime.files import make_folder, replace_file

SCRIPT = "./tools/l4t_create_default_user.sh"
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
LENGTH = 20
"""Of 31 letters and digits that nobody mistakes for another: 99 bits."""
_ACCOUNTS = ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")
"""passwd first: it is changed back last, for it is what tells a tree that still holds the user."""
_TOUCHED = (
    *_ACCOUNTS,
    *(f"{name}-" for name in _ACCOUNTS),
    "hostname",
    "hosts",
    "gdm3/custom.conf",
)


def make_secret() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def keep_secret(file: Path, profile: Profile, secret: str) -> None:
    """A new file that only its owner reads, there to stay before the secret is used."""
    make_folder(file.parent)
    with replace_file(file) as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(f"{profile.hostname} {profile.user} {secret}\n".encode())


@contextmanager
def first_user(tree: Path, profile: Profile, secret: str, log: IO[bytes]) -> Iterator[None]:
    """The root file system with the user, while open. Raises FlashError where the script fails or
    does not make the user, or where it makes it log in by itself."""
    etc = tree / "rootfs/etc"
    if _has_user(etc, profile.user):
        raise FlashError(
            f"the root file system has an account {profile.user} of its own",
            next_step="name another user in the profile; nothing was flashed",
        )
    home = tree / "rootfs/home" / profile.user
    before = {name: _taken(etc / name) for name in _TOUCHED}
    had_home = home.exists()
    try:
        words = [SCRIPT, "--username", profile.user, "--password", secret]
        words += ["--hostname", profile.hostname, "--accept-license"]
        ended = run_child(tree, words, log, hide=secret)
        if ended.code != 0 or not _has_user(etc, profile.user):
            raise FlashError(
                "the first user could not be made in the root file system",
                next_step="see the log; nothing was flashed",
            )
        yield
    finally:
        if not had_home:
            shutil.rmtree(home, ignore_errors=True)
        for name, content in reversed(before.items()):
            if name == "passwd":
                os.sync()  # the others are back on the disk before it says so
            _put_back(etc / name, content)


def _has_user(etc: Path, user: str) -> bool:
    try:
        lines = (etc / "passwd").read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(line.startswith(f"{user}:") for line in lines)


def _taken(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _put_back(path: Path, content: bytes | None) -> None:
    """Into the same file, whose mode and owner stay."""
    if content is None:
        path.unlink(missing_ok=True)
    elif _taken(path) != content:
        path.write_bytes(content)
