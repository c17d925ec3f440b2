"""Opening an offline package: nothing of it is used before its signature and its sums are right."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from scanside.jetson.package import contents as parts
from scanside.jetson.package.contents import Contents, File, decode_contents
from scanside.runtime.errors import PackageError, SignatureError
from scanside.runtime.signing import Trust

_CHUNK = 1 << 20
_UNPACKED_IN = Path("/var/tmp")  # not /tmp, which may be in memory


@dataclass(frozen=True)
class Package:
    """A verified package.

    folder: where its files lie. That of a .tar is removed again with this object.
    signer: id of the trusted key whose signature was verified, or empty.
    """

    folder: Path
    contents: Contents
    signer: str

    @property
    def version(self) -> str:
        return self.contents.version

    @property
    def jetpack(self) -> str:
        return self.contents.jetpack

    @property
    def python(self) -> str:
        return self.contents.python

    @property
    def signed(self) -> bool:
        return bool(self.signer)

    @property
    def wheels(self) -> list[Path]:
        return self._in(parts.WHEELS)

    @property
    def bundles(self) -> list[Path]:
        return self._in(parts.BUNDLES)

    @property
    def trust(self) -> list[Path]:
        """Public keys that it brings along: believed only as far as the package is."""
        return self._in(parts.TRUST)

    def _in(self, folder: str) -> list[Path]:
        names = [file.name for file in self.contents.files]
        return [self.folder / name for name in names if name.startswith(f"{folder}/")]


def open_package(
    path: Path, trust: Trust | None = None, *, allow_unsigned: bool = False
) -> Package:
    """Read and verify a package, a folder or its .tar; a .tar is unpacked into a folder that lives
    as long as what is returned.

    trust: whose signatures count [this machine's: `Trust.here`]. allow_unsigned: take a package
    without a signature, and one that is signed where nobody is trusted; a wrong signature is
    refused all the same.

    Raises PackageError for a package that is not whole, not signed by a trusted key, or none.
    """
    trust = Trust.here() if trust is None else trust
    try:
        if path.is_dir():
            raw, signature = _read_head(path)
            contents, signer = _believe(raw, signature, trust, allow_unsigned)
            _check_folder(path, contents)
            return Package(folder=path, contents=contents, signer=signer)
        if path.is_file():
            return _open_tar(path, trust, allow_unsigned)
    except OSError as error:
        raise PackageError(
            f"{path.name} cannot be read: {error.strerror or error}",
            next_step="check the medium that it lies on, and copy it again",
        ) from error
    raise PackageError(f"there is no package {path.name}", next_step="check the path")


def _read_head(folder: Path) -> tuple[bytes, bytes | None]:
    raw = signature = None
    for name, most in ((parts.CONTENTS, parts.MOST_CONTENTS_BYTES), (parts.SIGNATURE, 4096)):
        file = folder / name
        if not file.exists():
            continue
        with _plain(file) as stream:
            data = stream.read(most + 1)
        if len(data) > most:
            raise PackageError(f"the package's {name} is too large", next_step="copy it again")
        raw, signature = (data, signature) if name == parts.CONTENTS else (raw, data)
    if raw is None:
        raise PackageError(
            f"{folder.name} is no offline package: it holds no {parts.CONTENTS}",
            next_step="name the folder scanside-VERSION-jpJETPACK, or its .tar",
        )
    return raw, signature


def _believe(
    raw: bytes, signature: bytes | None, trust: Trust, allow_unsigned: bool
) -> tuple[Contents, str]:
    """The signature first: what nobody signed is not even parsed."""
    signer = ""
    if signature is not None:
        try:
            signer = trust.signer_of(raw, signature)
        except SignatureError as error:
            raise PackageError(
                "the package" + error.message.removeprefix("the bundle"), next_step=error.next_step
            ) from error
    if not signer and not allow_unsigned:
        if signature is None:
            raise PackageError(
                "the package carries no signature",
                next_step="have it made with KEY=, or allow it by name with --allow-unsigned",
            )
        raise PackageError(
            "the package is signed, but no key is trusted on this device",
            next_step="begin with its setup.sh, which asks whose key it is",
        )
    return decode_contents(raw), signer


def _check_folder(folder: Path, contents: Contents) -> None:
    listed: Mapping[str, File] = {file.name: file for file in contents.files}
    for place in parts.FOLDERS:
        for found in (folder / place).iterdir() if (folder / place).is_dir() else ():
            name = f"{place}/{found.name}"
            # Hidden files are what desktops leave on a stick; nothing here reads them.
            if name not in listed and not found.name.startswith("."):
                raise PackageError(
                    f"{name} lies in the package and is not listed in it",
                    next_step="copy the package again into an empty folder",
                )
    for file in contents.files:
        target = folder / file.name
        if not target.is_file() or target.is_symlink():
            raise _altered(file.name, "missing")
        with _plain(target) as stream:
            _check(file, stream)


def _check(file: File, stream: IO[bytes], copy: BinaryIO | None = None) -> None:
    digest, size = hashlib.sha256(), 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if size > file.size:
            break
        digest.update(chunk)
        if copy is not None:
            copy.write(chunk)
    if size != file.size or digest.hexdigest() != file.sha256:
        raise _altered(file.name, "not what was packed")


def _altered(name: str, how: str) -> PackageError:
    return PackageError(
        f"the package's {name} is {how}",
        next_step="copy the package to the device again; the medium may be failing",
    )


@contextmanager
def _plain(file: Path) -> Iterator[BinaryIO]:
    """A file that is no link and no pipe."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def _open_tar(path: Path, trust: Trust, allow_unsigned: bool) -> Package:
    base = _UNPACKED_IN if _UNPACKED_IN.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="scanside-package-", dir=base))
    try:
        contents, signer = _unpack(path, folder, trust, allow_unsigned)
        package = Package(folder=folder, contents=contents, signer=signer)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(package, shutil.rmtree, folder, ignore_errors=True)
    return package


def _unpack(path: Path, folder: Path, trust: Trust, allow_unsigned: bool) -> tuple[Contents, str]:
    """The head comes first in the .tar; then only what it lists is written, checked as it is."""
    head: dict[str, bytes] = {}
    believed: tuple[Contents, str] | None = None
    waiting: dict[str, File] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name = "/".join(PurePosixPath(member.name).parts[1:])
                if member.isdir():
                    continue
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is None:
                    raise PackageError(
                        f"{path.name} holds something that is no file",
                        next_step="copy the package to the device again",
                    )
                # Once only and in front: another one would stand there unverified.
                fresh = believed is None and name not in head
                if name in (parts.CONTENTS, parts.SIGNATURE) and fresh:
                    head[name] = stream.read(parts.MOST_CONTENTS_BYTES + 1)
                elif name != parts.SUMS:
                    if believed is None:
                        believed = _believe_head(path, head, trust, allow_unsigned)
                        waiting = {file.name: file for file in believed[0].files}
                        _insist_on_room(believed[0], folder)
                    _take(waiting, name, stream, folder)
    except (tarfile.TarError, EOFError, ValueError) as error:  # tarfile lets int()'s through
        raise PackageError(
            f"{path.name} is not a whole .tar", next_step="copy the package to the device again"
        ) from error
    if believed is None:
        believed = _believe_head(path, head, trust, allow_unsigned)
        waiting = {file.name: file for file in believed[0].files}
    if waiting:
        raise _altered(min(waiting), "missing")
    for name, data in head.items():
        (folder / name).write_bytes(data)
    return believed


def _believe_head(
    path: Path, head: Mapping[str, bytes], trust: Trust, allow_unsigned: bool
) -> tuple[Contents, str]:
    raw = head.get(parts.CONTENTS)
    if raw is None or len(raw) > parts.MOST_CONTENTS_BYTES:
        raise PackageError(
            f"{path.name} is no offline package", next_step="name scanside-VERSION-jpJETPACK.tar"
        )
    return _believe(raw, head.get(parts.SIGNATURE), trust, allow_unsigned)


def _insist_on_room(contents: Contents, folder: Path) -> None:
    needed = sum(file.size for file in contents.files)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise PackageError(
            f"the package needs {needed >> 20} MiB in {folder.parent}, {free >> 20} are free",
            next_step="free some, then run it again",
        )


def _take(waiting: dict[str, File], name: str, stream: IO[bytes], folder: Path) -> None:
    file = waiting.pop(name, None)
    if file is None:
        raise PackageError(
            "the .tar holds a file that the package does not list, or one twice",
            next_step="copy the package to the device again",
        )
    target = folder / name
    target.parent.mkdir(exist_ok=True)
    with target.open("xb") as copy:
        _check(file, stream, copy)
