"""Building the offline package on a workstation: the same inputs give the same bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from packaging.utils import parse_wheel_filename

from scanside.jetson.package import contents as parts
from scanside.jetson.package.collect import build_own, collect, engines, roots_of
from scanside.jetson.package.contents import Contents, File
from scanside.jetson.package.page import render_page
from scanside.jetson.package.wheels import Target, pins
from scanside.runtime.bundle import Bundle, insist_on_signature
from scanside.runtime.errors import PackageError
from scanside.runtime.files import make_folder, replace_file
from scanside.runtime.platforms import Release, releases
from scanside.runtime.signing import (
    MOST_KEYS,
    PUBLIC,
    Trust,
    key_id,
    load_private_key,
    load_public_key,
)

_PAGES = (
    "field-guide.md",
    "offline-package.md",
    "store.md",
    "operating.md",
    "tensorrt.md",
    "keys.md",
)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to pack.

    source: a checkout, with constraints.txt and docs/. epoch: s since 1970, the package's time and
    that of every file. key: the private key that signs it; None leaves it unsigned. trust: public
    keys to bring along, beside the signer's own. extra: wheels compiled for aarch64 elsewhere.
    python: another than the release's, for a rehearsal without a Jetson.
    """

    source: Path
    jetpack: str
    epoch: int
    bundles: Sequence[Path] = ()
    key: Path | None = None
    trust: Sequence[Path] = ()
    extra: Sequence[Path] = ()
    python: str = ""


def build_package(order: Order, out: Path) -> tuple[Path, Contents]:
    """Build the folder and its .tar in the folder `out`, replacing those of that name.

    Returns (the .tar, its contents). Raises PackageError for a release that is not supported, for
    wheels that cannot be had, BundleError and KeyFileError for bundles and keys that are none.
    """
    release = _release(order.jetpack)
    if not (order.source / "constraints.txt").is_file():
        raise PackageError(
            f"{order.source.resolve().name} is no checkout of Scanside", next_step="--source FOLDER"
        )
    target = Target.of(release, order.python)
    private = load_private_key(order.key) if order.key else None
    signer = key_id(private.public_key()) if private else ""
    make_folder(out)
    with tempfile.TemporaryDirectory(prefix=".package-", dir=out) as scratch:
        folder = Path(scratch) / "package"
        for name in parts.FOLDERS:
            (folder / name).mkdir(parents=True)
        if private:
            public = private.public_key().public_bytes(
                Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
            )
            (folder / parts.TRUST / f"{signer[:16]}{PUBLIC}").write_bytes(public)
        _bring(order, folder)
        own = build_own(order.source, folder / parts.WHEELS, order.epoch)
        have = collect(
            own,
            roots_of(order.extra),
            folder / parts.WHEELS,
            target,
            pins(release, order.source / "constraints.txt", target),
            order.extra,
        )
        able, missing = engines(have)
        contents = Contents(
            version=str(parse_wheel_filename(own.name)[1]),
            jetpack=order.jetpack,
            python=target.python,
            created=datetime.fromtimestamp(order.epoch, timezone.utc).strftime(
                "%Y-%m-%dT%H:%M:%SZ"
            ),
            engines=able,
            missing=missing,
            files=_listed(folder),
        )
        pages = {name: (folder / parts.DOCS / name).read_text() for name in _PAGES}
        page = render_page(contents, signer, pages)
        (folder / parts.INDEX).write_text(page)
        contents = Contents(
            **{name: getattr(contents, name) for name in contents.__struct_fields__[:-1]},
            files=_listed(folder),
        )
        raw = contents.encode()
        parts.decode_contents(raw)  # what a device would refuse is not shipped
        (folder / parts.CONTENTS).write_bytes(raw)
        if private:
            (folder / parts.SIGNATURE).write_bytes(private.sign(raw))
        _write_sums(folder, contents, raw)
        for path in sorted(folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.name == parts.SETUP else 0o644)
            os.utime(path, (order.epoch, order.epoch))
        tar = out / f"{contents.name}.tar"
        with replace_file(tar) as stream:
            _write_tar(stream, folder, contents, order.epoch)
        _put(folder, out / contents.name, Path(scratch) / "old")
    return tar, contents


def _release(jetpack: str) -> Release:
    known = releases()
    release = known.get(jetpack)
    if release is None or release.refused:
        supported = [name for name, one in known.items() if not one.refused]
        raise PackageError(
            release.refused if release else f"JetPack {jetpack} is in no table of platforms",
            next_step=f"JETPACK= one of {', '.join(supported)}",
        )
    return release


def _bring(order: Order, folder: Path) -> None:
    """Bundles, keys, pages and the first script."""
    trust = Trust(
        {key_id(key): key for key in map(load_public_key, (folder / parts.TRUST).iterdir())}
    )
    for key in order.trust:
        found = load_public_key(key)
        if key_id(found) not in trust.keys:
            trust = Trust({**trust.keys, key_id(found): found})
            shutil.copyfile(key, folder / parts.TRUST / f"{key_id(found)[:16]}{PUBLIC}")
    if len(trust.keys) > MOST_KEYS:  # no device would take more
        raise PackageError(
            f"{len(trust.keys)} keys, a package brings at most {MOST_KEYS}", next_step="TRUST="
        )
    for bundle in order.bundles:
        place = folder / parts.BUNDLES / bundle.name
        if place.exists() or not parts.may_hold(f"{parts.BUNDLES}/{bundle.name}"):
            raise PackageError(
                f"the bundle's name {bundle.name!r} is taken, or none that a package may hold",
                next_step="rename it: letters, digits and . _ + -, another for each bundle",
            )
        opened = Bundle.open(bundle, trust)
        if order.key:
            insist_on_signature(opened, bundle)  # the device would refuse it
        shutil.copyfile(bundle, place)
    for name in _PAGES:
        shutil.copyfile(order.source / "docs" / name, folder / parts.DOCS / name)
    script = (files("scanside.jetson.package") / parts.SETUP).read_bytes()
    (folder / parts.SETUP).write_bytes(script)


def _listed(folder: Path) -> tuple[File, ...]:
    return tuple(
        File(
            name=path.relative_to(folder).as_posix(),
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            size=path.stat().st_size,
        )
        for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
        if path.is_file()
    )


def _write_sums(folder: Path, contents: Contents, raw: bytes) -> None:
    sums = {file.name: file.sha256 for file in contents.files}
    sums[parts.CONTENTS] = hashlib.sha256(raw).hexdigest()
    lines = [f"{sums[name]}  {name}\n" for name in sorted(sums)]
    (folder / parts.SUMS).write_text("".join(lines))


def _write_tar(stream: BinaryIO, folder: Path, contents: Contents, epoch: int) -> None:
    """The head first, so that a reader can refuse a package before it writes a byte."""
    names = [parts.CONTENTS, parts.SIGNATURE, parts.SUMS]
    names += [file.name for file in contents.files]
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            path = folder / name
            if not path.exists():
                continue  # unsigned
            member = tarfile.TarInfo(f"{contents.name}/{name}")
            member.size, member.mtime = path.stat().st_size, epoch
            member.mode = path.stat().st_mode & 0o777
            with path.open("rb") as data:
                tar.addfile(member, data)


def _put(folder: Path, place: Path, old: Path) -> None:
    if place.exists():
        place.rename(old)
    folder.rename(place)
