"""Evidence with a signature: one JSON file that says who measured it, and that nobody changed it.

::

    {"evidence": {...}, "public": "<raw Ed25519 key, hex>", "signature": "<hex>"}

The signature is over the evidence in canonical JSON. The file brings its own key along: that shows
that it is whole, and only a comparison of the key's id with the device's shows whose it is.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from scanside.jetson.verify.record import FORMAT, Evidence
from scanside.runtime.errors import DeviceError, SignatureError
from scanside.runtime.files import make_folder, replace_file
from scanside.runtime.signing import (
    PUBLIC,
    key_id,
    load_private_key,
    load_public_key,
    new_key,
)

MOST_BYTES = 4 << 20

_Key = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Signature = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{128}\Z")]


class _Sealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    evidence: dict[str, Any]
    public: _Key
    signature: _Signature


class Opened(NamedTuple):
    """key: id (hex) of the key that signed. known: whether it is one that was named."""

    evidence: Evidence
    key: str
    known: bool


def device_key(path: Path) -> Path:
    """The device's own key, made where it has none, with its public one beside it: that one may be
    given away. Raises KeyFileError, DeviceError."""
    public = path.with_name(f"{path.name}{PUBLIC}")
    try:
        if not path.exists():  # raises where the folder is closed to whoever runs it
            make_folder(path.parent)
            # What was left of an earlier device or image: a public key without its private one.
            public.unlink(missing_ok=True)
            new_key(path)
        elif not public.exists():  # a cut came between the two
            key = load_private_key(path).public_key()
            with replace_file(public) as stream:
                stream.write(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    except OSError as error:
        raise DeviceError(
            f"the device's key {path} cannot be made: {error.strerror}",
            next_step="run it again with sudo, or name another with --key",
        ) from error
    return path


def ready_folder(folder: Path) -> Path:
    """`folder`, made where it is not there. Raises DeviceError where nothing can be written to it:
    before the run, not after its tens of minutes."""
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritten(folder, error) from error
    return folder


def write_page(text: str, file: Path) -> None:
    """The page, whole or not there. Raises DeviceError."""
    _write(text.encode(), file)


def seal(evidence: Evidence, key: Path, file: Path) -> str:
    """Sign evidence into a file; id of the key. Raises KeyFileError, DeviceError."""
    private = load_private_key(key)
    content = msgspec.to_builtins(evidence)
    sealed = {
        "evidence": content,
        "public": private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex(),
        "signature": private.sign(_canonical(content)).hex(),
    }
    _write(json.dumps(sealed, indent=1, ensure_ascii=False).encode() + b"\n", file)
    return key_id(private.public_key())


def open_sealed(file: Path, keys: list[Path]) -> Opened:
    """Evidence whose signature is right. keys: public keys, one of which must have signed it; where
    none is named, the one that it brings along counts, and `known` is False.

    Raises SignatureError for a file that was changed or is by another key, DeviceError for one that
    is no evidence.
    """
    try:
        with file.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise ValueError("too large")
        sealed = msgspec.convert(json.loads(raw), _Sealed)
        # Before its fields: another format has others, and is evidence all the same.
        found = sealed.evidence.get("format")
        evidence = msgspec.convert(sealed.evidence, Evidence) if found == FORMAT else None
        signed = _canonical(sealed.evidence)
    except OSError as error:
        raise DeviceError(
            f"{file.name} cannot be read: {error.strerror}", next_step="check the path"
        ) from error
    except (ValueError, RecursionError) as error:  # msgspec's and json's are ValueErrors
        raise DeviceError(
            f"{file.name} is no evidence of Scanside's", next_step="name the .json, not the .html"
        ) from error
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(sealed.public))
    try:
        public.verify(bytes.fromhex(sealed.signature), signed)
    except InvalidSignature as error:
        raise SignatureError(
            f"{file.name} was changed after it was signed", next_step="do not believe it"
        ) from error
    if evidence is None:
        raise DeviceError(
            f"{file.name} has format {found!r:.20}, this Scanside reads {FORMAT}",
            next_step="check it with the version that wrote it",
        )
    known = {key_id(load_public_key(path)) for path in keys}
    if known and key_id(public) not in known:
        raise SignatureError(
            f"{file.name} was signed by {key_id(public)[:16]}, not by a key that was named",
            next_step="compare `scanside keys show` on the device",
        )
    return Opened(evidence, key_id(public), bool(known))


def _write(content: bytes, file: Path) -> None:
    try:
        make_folder(file.parent)
        with replace_file(file) as stream:
            os.fchmod(stream.fileno(), 0o644)
            stream.write(content)
    except OSError as error:
        raise _unwritten(file, error) from error


def _unwritten(path: Path, error: OSError) -> DeviceError:
    return DeviceError(
        f"{path} cannot be written: {error.strerror}",
        next_step="run it again with sudo, make room, or name another folder with --out",
    )


def _canonical(content: Any) -> bytes:
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()
