"""Folders of CURVE keys, as an engineer makes and places them."""

from __future__ import annotations

import shutil
from pathlib import Path

from scanside.runtime.curve import new_pair


def make_daemon_keys(folder: Path) -> Path:
    """A daemon's folder, which allows nobody yet."""
    folder.mkdir()
    (folder / "clients").mkdir(mode=0o755)
    (folder / "clients").chmod(0o755)
    new_pair(folder / "server")
    return folder


def make_client_keys(folder: Path, daemon: Path, *, known_as: str = "") -> Path:
    """A client's folder for this daemon, which knows it by that name, if by any."""
    folder.mkdir()
    new_pair(folder / "client")
    shutil.copy(daemon / "server.pub", folder)
    if known_as:
        let_in(folder, daemon, known_as)
    return folder


def let_in(client: Path, daemon: Path, name: str) -> None:
    place = daemon / "clients" / f"{name}.pub"
    shutil.copy(client / "client.pub", place)
    place.chmod(0o644)
