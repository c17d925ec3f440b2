"""package.json: what an offline package holds, file by file, and for which device.

::

    scanside-VERSION-jpJETPACK/
      package.json    canonical JSON: sha256 and size of every other file
      package.sig     Ed25519 over package.json's bytes (absent in an unsigned package)
      SHA256SUMS      the same sums for `sha256sum -c`, before anything of ours can run
      setup.sh        the first command on a blank device
      index.html      what to type, on one page
      wheels/  bundles/  trust/  docs/
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import msgspec

from scanside.runtime.errors import PackageError

FORMAT = 1
CONTENTS, SIGNATURE, SUMS = "package.json", "package.sig", "SHA256SUMS"
SETUP, INDEX = "setup.sh", "index.html"
WHEELS, BUNDLES, TRUST, DOCS = "wheels", "bundles", "trust", "docs"
FOLDERS = (WHEELS, BUNDLES, TRUST, DOCS)
UNLISTED = (CONTENTS, SIGNATURE, SUMS)
SIGNATURE_BYTES = 64
MOST_CONTENTS_BYTES = 1 << 20
MOST_FILES = 1000
MOST_BYTES = 4 << 30

_WORD = r"[0-9A-Za-z][0-9A-Za-z._+-]{0,199}"
_NAME = re.compile(rf"(?:(?:{'|'.join(FOLDERS)})/)?{_WORD}\Z")
_Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Number = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,4}(\.[0-9]{1,4}){1,3}\Z")]
_Version = Annotated[str, msgspec.Meta(pattern=r"^[0-9][0-9A-Za-z.+-]{0,63}\Z")]


class File(msgspec.Struct, frozen=True, kw_only=True):
    """name: of a file in the package, with the one folder that it may lie in."""

    name: str
    sha256: _Sha256
    size: Annotated[int, msgspec.Meta(ge=0, le=MOST_BYTES)]


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """version: Scanside's. python: "3.10". created: UTC. engines: what can run a bundle with these
    wheels. missing: distributions without which an engine cannot run, to be compiled on a builder.
    """

    format: int = FORMAT
    version: _Version
    jetpack: _Number
    python: _Number
    machine: str = "aarch64"
    created: str
    engines: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    files: tuple[File, ...]

    @property
    def name(self) -> str:
        """The package's folder, and its .tar without the ending."""
        return f"scanside-{self.version}-jp{self.jetpack}"

    def encode(self) -> bytes:
        """Canonical JSON: what is signed."""
        return _canonical(msgspec.to_builtins(self))


def decode_contents(raw: bytes) -> Contents:
    """Contents from package.json's bytes. Raises PackageError for anything else than canonical JSON
    of this format that names each file once, in a place that a package has."""
    try:
        content = json.loads(raw)
        contents = msgspec.convert(content, Contents)
        canonical = _canonical(content) == raw
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise _damaged(f"{CONTENTS} is not a package's") from error
    if contents.format != FORMAT:
        raise PackageError(
            f"the package has format {contents.format}, this Scanside reads format {FORMAT}",
            next_step="run the setup.sh of that package",
        )
    names = [file.name for file in contents.files]
    if not canonical or sorted(set(names)) != names or len(names) > MOST_FILES:
        raise _damaged(f"{CONTENTS} is not in canonical form")
    for name in names:
        if not may_hold(name):
            raise _damaged("the package names a file that no package holds")
    if sum(file.size for file in contents.files) > MOST_BYTES:
        raise _damaged(f"the package says it is over {MOST_BYTES >> 30} GiB")
    return contents


def may_hold(name: str) -> bool:
    """Whether a package may list a file of that name."""
    return bool(_NAME.match(name)) and name not in UNLISTED


def _canonical(value: Any) -> bytes:
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def _damaged(what: str) -> PackageError:
    return PackageError(what, next_step="copy the package to the device again")
