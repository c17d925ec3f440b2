"""Who made a bundle: Ed25519 signatures over its manifest, and the keys that are trusted here.

A trust folder holds at most two public keys, `NAME.pub`: the one in use and the one that follows or
preceded it, so that keys can be rotated without a day on which nothing verifies. Its file `revoked`
lists ids of keys that are refused even where a copy of them is still trusted.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from scanside.runtime.errors import KeyFileError, OutputExistsError, SignatureError
from scanside.runtime.files import replace_file

TRUST_VARIABLE = "SCANSIDE_TRUST"
TRUST_FOLDER = Path("/etc/scanside/trust")
PUBLIC, REVOKED = ".pub", "revoked"
MOST_KEYS = 2
MOST_BYTES = 64 * 1024
_ID = re.compile(r"[0-9a-f]{64}\Z")


def key_id(key: Ed25519PublicKey) -> str:
    """sha256 (hex) of the raw public key: what a person compares over the telephone."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


@dataclass(frozen=True)
class Trust:
    """keys: by id. revoked: ids that are refused whoever trusts them."""

    keys: Mapping[str, Ed25519PublicKey] = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()

    @classmethod
    def of(cls, key: Ed25519PublicKey) -> Trust:
        return cls({key_id(key): key})

    @classmethod
    def here(cls) -> Trust:
        """This machine's: the folder SCANSIDE_TRUST, else /etc/scanside/trust where there is one;
        nobody without either."""
        named = os.environ.get(TRUST_VARIABLE)
        if named:
            return cls.load(Path(named))
        return cls.load(TRUST_FOLDER) if TRUST_FOLDER.is_dir() else cls()

    @classmethod
    def load(cls, folder: Path) -> Trust:
        """Read a trust folder. Raises KeyFileError for one that cannot be read whole: a revocation
        that is overlooked is worse than a device that says why it stops."""
        try:
            paths = sorted(path for path in folder.iterdir() if path.suffix == PUBLIC)
            listed = folder / REVOKED
            lines = _read(listed).decode().splitlines() if listed.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise KeyFileError(
                f"the trust folder {folder} cannot be read", next_step="check it, and --trust"
            ) from error
        if len(paths) > MOST_KEYS:
            raise KeyFileError(
                f"{folder} trusts {len(paths)} keys, at most {MOST_KEYS} may be",
                next_step="remove the keys that were rotated out",
            )
        words = [line.split("#")[0].strip() for line in lines]
        revoked = frozenset(word for word in words if word)
        if not all(_ID.match(word) for word in revoked):
            raise KeyFileError(
                f"{listed} holds a line that is no key id",
                next_step="one id of 64 hex digits a line, as `scanside keys show` prints them",
            )
        keys = [load_public_key(path) for path in paths]
        return cls({key_id(key): key for key in keys}, revoked)

    def signer_of(self, message: bytes, signature: bytes) -> str:
        """Id of the trusted key that signed, or "" where nobody is trusted.

        Raises SignatureError for a signature of none of the trusted keys, or of a revoked one.
        """
        for name, key in self.keys.items():
            try:
                key.verify(signature, message)
            except InvalidSignature:
                continue
            if name in self.revoked:
                raise SignatureError(
                    f"the bundle was signed with the key {name[:16]}, which is revoked",
                    next_step="do not use this file: ask whoever made it for one signed anew",
                )
            return name
        if not self.keys:
            return ""
        raise SignatureError(
            "the bundle's signature is by none of the keys trusted here, or it was altered",
            next_step="compare `scanside keys show` with whoever made it, before you trust a key",
        )


def new_key(path: Path) -> str:
    """Make a key pair, PATH (private, mode 0600) and PATH.pub; returns its id.

    Raises OutputExistsError: a signing key is never overwritten.
    """
    public = path.with_name(path.name + PUBLIC)
    for one in (path, public):
        if one.exists():
            raise OutputExistsError(f"{one} exists already", next_step="choose another name")
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with replace_file(path) as stream:
        os.fchmod(stream.fileno(), 0o600)  # before a byte of it is there
        stream.write(private)
    with replace_file(public) as stream:
        stream.write(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return key_id(key.public_key())


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Raises KeyFileError for a missing or other kind of key, and for one that others may read."""
    raw = _read(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyFileError(
            f"the signing key {path.name} may be read by others", next_step=f"chmod 600 {path}"
        )
    try:
        key = load_pem_private_key(raw, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _not_a_key(path, "private") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _not_a_key(path, "private")
    return key


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Raises KeyFileError for a missing or other kind of key."""
    try:
        key = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _not_a_key(path, "public") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _not_a_key(path, "public")
    return key


def _read(path: Path) -> bytes:
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            raise KeyFileError(f"{path} is not a key file", next_step="check the path")
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(
            f"{path} cannot be read: {error.strerror}", next_step="check its permissions"
        ) from error


def _not_a_key(path: Path, kind: str) -> KeyFileError:
    return KeyFileError(
        f"{path.name} is not a {kind} Ed25519 key in PEM",
        next_step="make one with `scanside keys new FILE`",
    )
