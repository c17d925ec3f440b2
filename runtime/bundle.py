"""Reading a bundle: `NAME-VERSION.scanside`, verified whole before any part of it is used.

The bytes that were verified are the bytes that are handed out: the file is read once, into memory,
and never extracted. Every size is capped before memory is taken for it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from scanside.runtime.errors import (
    BundleError,
    BundleFormatError,
    BundleIntegrityError,
    BundleTooLargeError,
    DowngradeError,
    UnsignedBundleError,
)
from scanside.runtime.manifest import MEBIBYTE, Manifest, decode_manifest, identity_of
from scanside.runtime.signing import Trust
from scanside.runtime.stored_zip import read_members

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
MODEL = "model.onnx"
CPU_MODEL = "model.cpu.onnx"
TRT_MODEL = "model.trt.onnx"
GOLDEN = "golden.npz"
REPORT = "report.json"
REQUIRED = (MODEL, CPU_MODEL, GOLDEN, REPORT)

MAX_BUNDLE_BYTES = 512 * MEBIBYTE
SIGNATURE_BYTES = 64
_CAPS = {
    MANIFEST: 1 * MEBIBYTE,
    SIGNATURE: SIGNATURE_BYTES,
    MODEL: 256 * MEBIBYTE,
    CPU_MODEL: 256 * MEBIBYTE,
    TRT_MODEL: 256 * MEBIBYTE,
    GOLDEN: 64 * MEBIBYTE,
    REPORT: 16 * MEBIBYTE,
}
_PLAN = re.compile(r"plans/[0-9a-f]{64}\.(?P<kind>plan|json)\Z")
_PLAN_CAPS = {"plan": 256 * MEBIBYTE, "json": MEBIBYTE}


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    identity: sha256 (hex) of the manifest without its plans, keys this version does not know
        included: a fetched plan makes no other model.
    signer: id of the trusted key whose signature was verified, or empty: a signature that nobody
        verified, because nobody is trusted here, is none.
    """

    manifest: Manifest
    identity: str
    signer: str
    _members: Mapping[str, bytes] = field(repr=False)

    @property
    def signed(self) -> bool:
        return bool(self.signer)

    @classmethod
    def open(cls, path: Path, trust: Trust | None = None) -> Bundle:
        """Read and verify a bundle file.

        trust: whose signatures count [this machine's: `Trust.here`].

        Raises SignatureError for a signature of an unknown or revoked key, BundleVersionError for a
        future major version, BundleTooLargeError over a cap, BundleIntegrityError where a member is
        not what the manifest says, BundleFormatError for any other flaw, and plain BundleError when
        the file cannot be read at all.
        """
        try:
            if not path.is_file():  # a pipe or a device would block, or never end
                raise BundleError(f"{path.name} is not a file", next_step="check the path")
            with path.open("rb") as stream:
                return read_bundle(stream, os.fstat(stream.fileno()).st_size, trust)
        except OSError as error:
            raise BundleError(
                f"{path.name} cannot be read: {error.strerror}", next_step="check its permissions"
            ) from error

    @property
    def names(self) -> tuple[str, ...]:
        """Members in their order in the file."""
        return tuple(self._members)

    def member(self, name: str) -> bytes:
        """Verified bytes of a member; BundleFormatError when this bundle has none of that name."""
        try:
            return self._members[name]
        except KeyError:
            raise BundleFormatError(
                f"the bundle holds no {name}", next_step="compile it again with this version"
            ) from None


def member_order(name: str) -> tuple[bool, bool, str]:
    """Sort key of members: the manifest, its signature, then by name."""
    return name != MANIFEST, name != SIGNATURE, name


def read_bundle(stream: BinaryIO, size: int, trust: Trust | None = None) -> Bundle:
    """Read and verify a bundle of `size` bytes from a binary stream; errors as `Bundle.open`."""
    if size > MAX_BUNDLE_BYTES:
        raise BundleTooLargeError(f"the bundle is over {MAX_BUNDLE_BYTES // MEBIBYTE} MiB")
    members: dict[str, bytes] = {}
    manifest: Manifest | None = None
    last = ""
    for name, data in read_members(stream, size, _cap):
        if manifest is None:
            if name != MANIFEST:
                raise BundleFormatError(f"the bundle does not begin with {MANIFEST}")
            manifest = decode_manifest(data)
        elif member_order(name) <= member_order(last):
            raise BundleFormatError("the bundle's members are not in order, or one is there twice")
        else:
            _verify(manifest, name, data)
        members[name] = data
        last = name
    if manifest is None:
        raise BundleFormatError("the bundle is empty")
    # The manifest cannot vouch for itself or its signature: listing them counts as missing too.
    missing = sorted({*REQUIRED, *manifest.members} - (set(members) - {MANIFEST, SIGNATURE}))
    if missing:
        raise BundleFormatError(
            f"the bundle lacks {', '.join(missing)}", next_step="compile it again"
        )
    signer = ""
    if SIGNATURE in members:
        trust = Trust.here() if trust is None else trust
        signer = trust.signer_of(members[MANIFEST], members[SIGNATURE])
    identity = identity_of(members[MANIFEST])
    return Bundle(manifest=manifest, identity=identity, signer=signer, _members=members)


def read_bytes_of(file: Path) -> bytes:
    """A regular file's bytes, at most as many as a bundle may have. Raises BundleError."""
    try:
        if not file.is_file():  # a pipe or a device would block, or never end
            raise BundleError(f"{file.name} is not a file", next_step="check the path")
        with file.open("rb") as stream:
            raw = stream.read(MAX_BUNDLE_BYTES + 1)
    except OSError as error:
        raise BundleError(
            f"{file.name} cannot be read: {error.strerror}", next_step="check its permissions"
        ) from error
    if len(raw) > MAX_BUNDLE_BYTES:
        raise BundleTooLargeError(f"{file.name} is over {MAX_BUNDLE_BYTES >> 20} MiB")
    return raw


def insist_on_signature(bundle: Bundle, file: Path) -> None:
    """Raises UnsignedBundleError, saying whether the signature or the trust is missing."""
    if bundle.signed:
        return
    if SIGNATURE in bundle.names:
        raise UnsignedBundleError(
            f"{file.name} is signed, but no key is trusted on this machine",
            next_step="put the public key of whoever made it into /etc/scanside/trust",
        )
    raise UnsignedBundleError(
        f"{file.name} carries no signature",
        next_step="sign it with `scanside sign`, or allow it by name with --allow-unsigned",
    )


def refuse_downgrade(offered: Manifest, installed: Manifest) -> None:
    """Serials are compared for each model's name. Raises DowngradeError for an older one."""
    if offered.name == installed.name:
        refuse_older(offered, installed.serial)


def refuse_older(offered: Manifest, serial: int) -> None:
    """Raises DowngradeError for a serial under the one that this name has reached."""
    if offered.serial < serial:
        raise DowngradeError(
            f"{offered.name} {offered.version} has the serial {offered.serial}, "
            f"and {serial} was installed",
            next_step="install a newer bundle; an old one only by explicit force",
        )


def _cap(name: str) -> int:
    plan = _PLAN.match(name)
    cap = _PLAN_CAPS[plan["kind"]] if plan else _CAPS.get(name)
    if cap is None:
        raise BundleFormatError(
            "the bundle has a member that is none of its format's", next_step="compile it again"
        )
    return cap


def _verify(manifest: Manifest, name: str, data: bytes) -> None:
    if name == SIGNATURE:
        if len(data) != SIGNATURE_BYTES:
            raise BundleFormatError(f"{SIGNATURE} has not {SIGNATURE_BYTES} bytes")
        return
    listed = manifest.members.get(name)
    if listed is None:
        raise BundleIntegrityError(f"the manifest does not list {name}")
    if listed.size != len(data) or listed.sha256 != hashlib.sha256(data).hexdigest():
        raise BundleIntegrityError(
            f"{name} is not what the manifest says",
            next_step="do not use this file: fetch it again from whoever made it",
        )
