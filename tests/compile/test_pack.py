"""The writer: the same bytes every time, a real zip, and the whole file or none."""

from __future__ import annotations

import errno
import os
import zipfile
from pathlib import Path

import msgspec
import pytest

from bundles import make_manifest, make_members
from scanside.compile.pack import write_bundle
from scanside.runtime.bundle import MODEL, SIGNATURE, Bundle
from scanside.runtime.errors import BundleFormatError, BundleTooLargeError
from scanside.runtime.manifest import Manifest, Member


@pytest.fixture
def manifest() -> Manifest:
    return make_manifest()


@pytest.fixture
def members(manifest: Manifest) -> dict[str, bytes]:
    return make_members(manifest)


def test_equal_content_gives_equal_bytes(
    tmp_path: Path, manifest: Manifest, members: dict[str, bytes]
) -> None:
    write_bundle(tmp_path / "a.scanside", manifest, members)
    write_bundle(tmp_path / "b.scanside", manifest, dict(reversed(members.items())))
    assert (tmp_path / "a.scanside").read_bytes() == (tmp_path / "b.scanside").read_bytes()


def test_any_unzip_can_look_inside(
    tmp_path: Path, manifest: Manifest, members: dict[str, bytes]
) -> None:
    write_bundle(tmp_path / "a.scanside", manifest, members)
    with zipfile.ZipFile(tmp_path / "a.scanside") as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "manifest.json"
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        assert archive.read(MODEL) == members[MODEL]


def test_what_is_returned_is_what_the_reader_sees(
    tmp_path: Path, manifest: Manifest, members: dict[str, bytes]
) -> None:
    stale = msgspec.structs.replace(manifest, members={"x": Member(sha256="", size=0)})
    written = write_bundle(tmp_path / "a.scanside", stale, members)
    assert written == Bundle.open(tmp_path / "a.scanside")
    assert set(written.manifest.members) == set(members)
    assert written.manifest.members[MODEL].size == len(members[MODEL])


def test_a_bundle_is_readable_by_others_and_leaves_nothing_beside_it(
    tmp_path: Path, manifest: Manifest, members: dict[str, bytes]
) -> None:
    old = os.umask(0o022)
    try:
        write_bundle(tmp_path / "a.scanside", manifest, members)
    finally:
        os.umask(old)
    assert (tmp_path / "a.scanside").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["a.scanside"]


def test_what_no_reader_would_accept_is_not_written(
    tmp_path: Path, manifest: Manifest, members: dict[str, bytes]
) -> None:
    target = tmp_path / "a.scanside"
    lacking = {name: data for name, data in members.items() if name != MODEL}
    with pytest.raises(BundleFormatError, match=r"lacks model\.onnx"):
        write_bundle(target, manifest, lacking)
    with pytest.raises(BundleFormatError, match="none of its format"):
        write_bundle(target, manifest, {**members, "../escape": b""})
    with pytest.raises(BundleTooLargeError):
        write_bundle(target, manifest, {**members, SIGNATURE: bytes(100)})
    with pytest.raises(BundleFormatError, match="multiple_of"):
        write_bundle(target, msgspec.structs.replace(manifest, multiple_of=0), members)
    assert list(tmp_path.iterdir()) == []


def test_an_error_while_writing_keeps_the_old_file(
    tmp_path: Path,
    manifest: Manifest,
    members: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / "a.scanside"
    write_bundle(target, manifest, members)
    before = target.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_bundle(target, msgspec.structs.replace(manifest, version="2.0.0"), members)
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.scanside"]


def test_the_file_and_its_folder_are_synced_in_order(
    tmp_path: Path,
    manifest: Manifest,
    members: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / "a.scanside"
    synced = []

    def record(descriptor: int) -> None:
        folder = os.path.isdir(f"/proc/self/fd/{descriptor}")
        synced.append(("folder" if folder else "file", target.exists()))

    monkeypatch.setattr(os, "fsync", record)
    write_bundle(target, manifest, members)
    assert synced == [("file", False), ("folder", True)]
