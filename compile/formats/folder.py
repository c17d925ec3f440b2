"""Exports that are whole or not there, be they one folder or two files."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scanside.compile.formats.usage import CARD
from scanside.runtime.errors import OutputExistsError
from scanside.runtime.files import replace_file


@contextmanager
def new_folder(path: Path, force: bool) -> Iterator[Path]:
    """A folder to fill, which becomes `path` when the block ends without an error.

    Until then it is a hidden one beside `path`, which an error removes. With `force` an earlier
    export gives way, and nothing else does. Raises OutputExistsError.
    """
    _refuse(path, force)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        beside.mkdir()
        yield beside
        _take_place(beside, path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def write(path: Path, data: bytes) -> None:
    """One file, synced, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as stream:
        stream.write(data)


def _refuse(path: Path, force: bool) -> None:
    if not os.path.lexists(path):
        return
    if not force:
        raise OutputExistsError(
            f"{path} exists already", next_step="choose another --out, or add --force"
        )
    # --force must never cost someone a home folder.
    if path.is_symlink() or not (path / CARD).is_file():
        raise OutputExistsError(
            f"{path} is not an export that --force may replace", next_step="choose another --out"
        )


def _take_place(beside: Path, path: Path) -> None:
    if not path.exists():
        beside.rename(path)
        return
    old = path.with_name(f".{uuid.uuid4().hex}.old")
    path.rename(old)
    try:
        beside.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old)
