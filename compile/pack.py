"""Writing a bundle: whole, verified and durable, or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanside.runtime.bundle import MANIFEST, SIGNATURE, Bundle, member_order
from scanside.runtime.files import replace_file
from scanside.runtime.manifest import Manifest, Member
from scanside.runtime.signing import Trust
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
    return _write(path, contents, None)


def sign_bundle(path: Path, key: Ed25519PrivateKey, out: Path) -> Bundle:
    """The bundle at `path` with this key's signature, any other taken off, written to `out`.

    Nothing else changes, not the manifest either, so neither does the model's identity. Raises
    BundleError for what no reader would accept.
    """
    # An old signature is going anyway: whoever made it need not be trusted.
    bundle = Bundle.open(path, Trust())
    contents = {name: bundle.member(name) for name in bundle.names}
    contents[SIGNATURE] = key.sign(contents[MANIFEST])
    return _write(out, contents, Trust.of(key.public_key()))


def _write(path: Path, contents: Mapping[str, bytes], trust: Trust | None) -> Bundle:
    ordered = [(name, contents[name]) for name in sorted(contents, key=member_order)]
    with replace_file(path) as stream:
        write_members(stream, ordered)
        stream.flush()
        return Bundle.open(Path(stream.name), trust)
