"""Writing a bundle: whole, verified and durable, or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanside.runtime.bundle import MANIFEST, SIGNATURE, Bundle, member_order
from scanside.runtime.errors import KeyFileError
from scanside.runtime.files import replace_file
from scanside.runtime.fingerprint import insist_on_device
from scanside.runtime.manifest import PLAN_PREFIX, Manifest, Member, with_member
from scanside.runtime.plans import Evidence, check_evidence
from scanside.runtime.signing import Trust
from scanside.runtime.stored_zip import write_members


def write_bundle(path: Path, manifest: Manifest, members: Mapping[str, bytes]) -> Bundle:
    """Write a bundle to `path` (replaced if there) and return it as the reader sees it.

    manifest: its `members` is filled in here. members: name -> bytes, without manifest.json.
    Equal arguments give equal bytes. The file is written beside `path`, read back and verified,
    and takes its name only then; on any error nothing is left behind. Raises BundleError for what
    no reader would accept, OSError when the folder cannot be written.
    """
    listed = {name: _listed(data) for name, data in members.items() if name != SIGNATURE}
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


def add_plan(path: Path, plan: bytes, evidence: Evidence, key: Ed25519PrivateKey | None) -> Bundle:
    """The bundle at `path` with one more plan and its evidence, replaced by one rename; its
    identity stays.

    key: signs it, and must be there for a signed bundle. Raises TargetError for a plan of a
    workstation's GPU, PlanError for one that is not this bundle's, KeyFileError without a key for a
    signed bundle, BundleError for what no reader would accept.
    """
    insist_on_device(evidence.fingerprint)
    bundle = Bundle.open(path)
    insist_on_key(bundle, path, key)
    check_evidence(evidence, plan, bundle.manifest)
    contents = {name: bundle.member(name) for name in bundle.names}
    for ending, data in (("plan", plan), ("json", evidence.encode())):
        name = f"{PLAN_PREFIX}{evidence.key}.{ending}"
        contents[name] = data
        contents[MANIFEST] = with_member(contents[MANIFEST], name, _listed(data))
    if key is not None:
        contents[SIGNATURE] = key.sign(contents[MANIFEST])
    return _write(path, contents, Trust.of(key.public_key()) if key else None)


def insist_on_key(bundle: Bundle, file: Path, key: Ed25519PrivateKey | None) -> None:
    """Raises KeyFileError for a signed bundle and no key: a plan would cost it its signature."""
    if SIGNATURE in bundle.names and key is None:
        raise KeyFileError(
            f"{file.name} is signed, and with a plan in it, it must be signed anew",
            next_step="name the signing key with --key",
        )


def _listed(data: bytes) -> Member:
    return Member(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def _write(path: Path, contents: Mapping[str, bytes], trust: Trust | None) -> Bundle:
    ordered = [(name, contents[name]) for name in sorted(contents, key=member_order)]
    with replace_file(path) as stream:
        write_members(stream, ordered)
        stream.flush()
        return Bundle.open(Path(stream.name), trust)
