"""Writing a bundle: whole, verified and durable, or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from scanside.runtime.bundle import MANIFEST, SIGNATURE, Bundle, member_order
from scanside.runtime.manifest import Manifest, Member
from scanside.runtime.stored_zip import write_members


def write_bundle(path: Path, manifest: Manifest, members: Mapping[str, bytes]) -> Bundle:
    """Write a bundle to `path` (replaced if there) and return it as the reader sees it.

    manifest: its `members` is filled in here. members: name -> bytes, without manifest.json.
    Equal arguments give equal bytes. The file is written beside `path`, read back and verified,
    and takes its name only then; on any error nothing is left behind. Raises BundleError for what
    no reader would accept, OSError when the folder cannot be written.
    """
    listed = {
        name: Member(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        for name, data in members.items()
        if name != SIGNATURE
    }
    contents = {**members, MANIFEST: msgspec.structs.replace(manifest, members=listed).encode()}
    ordered = [(name, contents[name]) for name in sorted(contents, key=member_order)]
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("xb") as stream:
            write_members(stream, ordered)
            stream.flush()
            os.fsync(stream.fileno())
        bundle = Bundle.open(unfinished)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return bundle


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
