"""A version of the application on trial: the two links, the note that says so, and going back.

This file imports nothing but Python's own library: a copy of it, `check-update` beside the
versions, is what systemd runs with the system's Python before each start of the service, since the
version that is on trial may be the one that does not start.

::

    FOLDER/
      versions/NAME/...    virtual environments; NAME/whole.json is written last
      current, previous    links to two of them
      pending.json         there while `current` is on trial: where to go back to
      lock                 held by whoever changes anything; it ends with its process

The note is there, synced, before a link is touched, and goes when the version has become READY. So
whatever instant the power goes at: with the note the old version comes back, without it the links
are what they were or what was confirmed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

APPLICATION = Path("/opt/scanside")
LOG = Path("/var/log/scanside/device.jsonl")
VERSIONS, WHOLE = "versions", "whole.json"
CURRENT, PREVIOUS = "current", "previous"
PENDING, LOCK = "pending.json", "lock"


def linked(folder: Path, name: str) -> str | None:
    """The version that the link `name` leads to; None where it leads to none."""
    try:
        return os.path.basename(os.readlink(folder / name))
    except OSError:
        return None


def is_whole(folder: Path, version: str | None) -> bool:
    return bool(version) and (folder / VERSIONS / str(version) / WHOLE).is_file()


def pending(folder: Path) -> dict[str, Any] | None:
    """The note of a version on trial: version, back, before. None where there is none; one that
    cannot be read, which only a failing disk makes, names no version."""
    try:
        raw = (folder / PENDING).read_bytes()
    except FileNotFoundError:
        return None
    try:
        note = json.loads(raw)
        return {name: note[name] for name in ("version", "back", "before")}
    except (ValueError, KeyError, TypeError):
        return {"version": None, "back": None, "before": None}


def begin(folder: Path, version: str) -> None:
    """Make `version` the current one, on trial where there is one to go back to."""
    back = linked(folder, CURRENT)
    if back is not None:
        note = {"version": version, "back": back, "before": linked(folder, PREVIOUS)}
        beside = folder / f".{PENDING}.part"
        with beside.open("wb") as stream:
            stream.write(json.dumps(note).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, folder / PENDING)
        sync_folder(folder)  # before a link changes: no version is on trial without the note
        _point(folder, PREVIOUS, back)
    _point(folder, CURRENT, version)
    sync_folder(folder)


def confirm(folder: Path) -> None:
    """The version on trial has become READY: it stays."""
    _remove(folder / PENDING)
    sync_folder(folder)


def go_back(folder: Path) -> dict[str, Any] | None:
    """End a trial by the links that were before; the note of it, or None where there is none.

    Done again from its beginning where it was cut short. A version that is no longer there to go
    back to stays away: the note's "back" is then None, and `current` stays.
    """
    note = pending(folder)
    if note is None:
        return None
    if is_whole(folder, note["back"]):
        _point(folder, CURRENT, note["back"])
        _point(folder, PREVIOUS, note["before"])
        sync_folder(folder)  # before the note goes
    else:
        note["back"] = None
    _remove(folder / PENDING)
    sync_folder(folder)
    return note


def swap(folder: Path) -> None:
    """`previous` becomes the current version, on trial, and the current one the previous."""
    version = linked(folder, PREVIOUS)
    assert version is not None
    begin(folder, version)


def sync_folder(folder: Path) -> None:
    """Make what was renamed, made and removed in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _point(folder: Path, name: str, version: str | None) -> None:
    if version is None:
        _remove(folder / name)
        return
    beside = folder / f".{name}.part"
    _remove(beside)
    os.symlink(f"{VERSIONS}/{version}", beside)
    os.replace(beside, folder / name)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def main(folder: Path = APPLICATION, log: Path = LOG) -> int:
    """Before a start of the service: whatever is on trial while nobody tries it goes back."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        print(f"nothing to check in {folder}: {error.strerror}")  # noqa: T201
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        note = go_back(folder)
    except BlockingIOError:
        print("an update is under way: it watches this start itself")  # noqa: T201
        return 0
    finally:
        os.close(descriptor)
    if note is None:
        return 0
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        "verb": "update",
        "event": "rolled back at start" if note["back"] else "nothing to go back to",
        **note,
    }
    print(json.dumps(line))  # noqa: T201
    with contextlib.suppress(OSError), log.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
