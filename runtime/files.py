"""Files that are whole or not there: written beside, synced, renamed; the rename synced too."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

LEFTOVERS = ".*.part"
"""Pattern of the files that `replace_file` leaves where its process is killed."""
_LOCK_TRY_S = 0.05


@contextmanager
def replace_file(path: Path) -> Iterator[BinaryIO]:
    """A binary stream whose contents become `path` when the block ends without an error.

    Until then they are in a hidden file beside it (`stream.name`), which an error removes.
    """
    beside = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with beside.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder and its parents, where they are not there, to stay."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
    _sync_folder(path.parent)


def remove_files(paths: Iterable[Path]) -> None:
    """Remove files, to stay removed; one that is not there is no error."""
    folders = set()
    for path in paths:
        path.unlink(missing_ok=True)
        folders.add(path.parent)
    for folder in folders:
        _sync_folder(folder)


@contextmanager
def locked(path: Path, patience_s: float) -> Iterator[None]:
    """Hold the file `path` locked: by one thread of one process at a time. It ends with them.

    Raises TimeoutError where another holds it for longer than `patience_s`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + patience_s
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError(f"{path.name} stays locked") from None
                time.sleep(_LOCK_TRY_S)
        yield
    finally:
        os.close(descriptor)
