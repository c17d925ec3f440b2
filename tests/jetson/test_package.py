"""Offline packages: only what was packed, whole and signed by a trusted key, is ever used."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import REPOSITORY
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanside.jetson.package import open_package, reading
from scanside.jetson.package.contents import Contents, File, decode_contents
from scanside.runtime.errors import PackageError
from scanside.runtime.signing import Trust, key_id

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
MADE = {
    "setup.sh": b"#!/bin/bash\n",
    "wheels/one-1-py3-none-any.whl": b"wheel " * 500_000,  # more than one read
    "bundles/ct.scanside": b"bundle",
    "trust/k.pub": b"key",
}


def make(folder: Path, key: Ed25519PrivateKey | None = KEY, **changes: object) -> Path:
    """A package's folder."""
    listed = []
    for name, data in sorted(MADE.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        listed.append(File(name=name, sha256=hashlib.sha256(data).hexdigest(), size=len(data)))
    contents = Contents(
        version="0.1.0", jetpack="6.2", python="3.10", created="2026-11-23T00:00:00Z",
        files=tuple(listed),
    )  # fmt: skip
    raw = contents.encode()
    if changes:
        raw = json.dumps(
            {**json.loads(raw), **changes}, sort_keys=True, separators=(",", ":")
        ).encode()
    (folder / "package.json").write_bytes(raw)
    if key is not None:
        (folder / "package.sig").write_bytes(key.sign(raw))
    return folder


def tar_of(folder: Path) -> Path:
    out = folder.with_suffix(".tar")
    with tarfile.open(out, "w") as tar:
        for name in ("package.json", "package.sig", *sorted(MADE)):
            if (folder / name).exists():
                tar.add(folder / name, f"scanside-0.1.0-jp6.2/{name}")
    return out


@pytest.fixture(params=["folder", "tar"])
def packed(request: pytest.FixtureRequest) -> Callable[[Path], Path]:
    return tar_of if request.param == "tar" else lambda folder: folder


def refused(path: Path, trust: Trust | None = None, **options: bool) -> str:
    with pytest.raises(PackageError) as caught:
        open_package(path, Trust.of(KEY.public_key()) if trust is None else trust, **options)
    assert caught.value.next_step
    return caught.value.message


def test_a_whole_package_opens(tmp_path, packed):
    package = open_package(packed(make(tmp_path / "p")), Trust.of(KEY.public_key()))
    assert package.signer == key_id(KEY.public_key())
    assert (package.version, package.jetpack, package.python) == ("0.1.0", "6.2", "3.10")
    assert [path.name for path in package.wheels] == ["one-1-py3-none-any.whl"]
    assert package.wheels[0].read_bytes() == MADE["wheels/one-1-py3-none-any.whl"]
    assert [path.name for path in package.bundles + package.trust] == ["ct.scanside", "k.pub"]


def test_what_a_tar_was_unpacked_to_goes_with_it(tmp_path):
    package = open_package(tar_of(make(tmp_path / "p")), Trust.of(KEY.public_key()))
    folder = package.folder
    assert folder.is_dir()
    del package
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize("name", sorted(MADE))
def test_one_changed_bit_anywhere_is_seen(tmp_path, packed, name):
    folder = make(tmp_path / "p")
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    assert name in refused(packed(folder))


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_missing_file_is_seen(tmp_path, packed, name):
    folder = make(tmp_path / "p")
    (folder / name).unlink()
    assert name in refused(packed(folder))


def test_a_longer_file_is_seen(tmp_path, packed):
    folder = make(tmp_path / "p")
    with (folder / "setup.sh").open("ab") as stream:
        stream.write(b"rm -rf /\n")
    assert "setup.sh" in refused(packed(folder))


def test_an_unlisted_wheel_is_refused_and_what_a_desktop_leaves_is_not(tmp_path):
    folder = make(tmp_path / "p")
    (folder / "wheels" / ".DS_Store").touch()
    open_package(folder, Trust.of(KEY.public_key()))
    (folder / "wheels" / "two-1-py3-none-any.whl").touch()
    assert "not listed" in refused(folder)


def test_links_are_not_followed(tmp_path):
    folder = make(tmp_path / "p")
    elsewhere = tmp_path / "elsewhere"
    shutil.move(folder / "setup.sh", elsewhere)
    (folder / "setup.sh").symlink_to(elsewhere)
    refused(folder)


def test_a_tar_with_a_file_too_many_or_outside_is_refused(tmp_path):
    for name in ("scanside-0.1.0-jp6.2/wheels/two.whl", "scanside-0.1.0-jp6.2/../../x"):
        out = tar_of(make(tmp_path / "p"))
        with tarfile.open(out, "a") as tar:
            tar.add(tmp_path / "p" / "setup.sh", name)
        assert "does not list" in refused(out)


@pytest.mark.parametrize("name", ["package.json", "package.sig"])
def test_a_second_head_is_refused(tmp_path, name):
    """It would lie there unverified beside what was believed."""
    out = tar_of(make(tmp_path / "p"))
    (tmp_path / "p" / name).write_bytes(b"{}")
    with tarfile.open(out, "a") as tar:
        tar.add(tmp_path / "p" / name, f"scanside-0.1.0-jp6.2/{name}")
    assert "one twice" in refused(out)


def test_a_tar_that_needs_more_than_there_is_is_refused_before_it_is_unpacked(
    tmp_path, monkeypatch
):
    out = tar_of(make(tmp_path / "p"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 20))
    monkeypatch.setattr(reading, "_UNPACKED_IN", tmp_path)
    assert "2 MiB" in refused(out)
    assert not list(tmp_path.glob("scanside-package-*"))


def test_a_header_that_tarfile_itself_stumbles_over_is_refused(tmp_path):
    """It raises ValueError for a number that is none."""
    out = tmp_path / "p.tar"
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("scanside-0.1.0-jp6.2/package.json")
        member.pax_headers = {"GNU.sparse.size": "many", "GNU.sparse.map": "a"}
        tar.addfile(member)
    assert "not a whole .tar" in refused(out)


def test_a_cut_tar_is_refused(tmp_path):
    out = tar_of(make(tmp_path / "p"))
    out.write_bytes(out.read_bytes()[:200_000])
    refused(out)


def test_signatures(tmp_path, packed):
    unsigned = packed(make(tmp_path / "unsigned", key=None))
    assert "no signature" in refused(unsigned)
    assert open_package(unsigned, Trust(), allow_unsigned=True).signer == ""
    signed = packed(make(tmp_path / "signed"))
    assert "no key is trusted" in refused(signed, Trust())
    assert open_package(signed, Trust(), allow_unsigned=True).signer == ""
    for allowed in (False, True):  # a wrong signature is worse than none
        assert "none of the keys" in refused(
            signed, Trust.of(OTHER.public_key()), allow_unsigned=allowed
        )
        revoked = Trust(Trust.of(KEY.public_key()).keys, frozenset([key_id(KEY.public_key())]))
        assert "revoked" in refused(signed, revoked, allow_unsigned=allowed)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"jetpack": "6.2; reboot"},
        {"version": "../../etc"},
        {"version": "0.1.0\n"},
        {"jetpack": "6.2\n"},
        {"files": [{"name": "a", "sha256": "0" * 64 + "\n", "size": 1}]},
        {"files": []} | {"version": 3},
        {"files": [{"name": "../x", "sha256": "0" * 64, "size": 1}]},
        {"files": [{"name": "wheels/a/b", "sha256": "0" * 64, "size": 1}]},
        {"files": [{"name": "package.sig", "sha256": "0" * 64, "size": 1}]},
        {"files": [{"name": "a", "sha256": "0" * 64, "size": 1 << 40}]},
        {"files": [{"name": "a", "sha256": "0" * 64, "size": 1}] * 2},
    ],
)
def test_hostile_contents_are_refused_even_where_signed(tmp_path, packed, change):
    folder = make(tmp_path / "p", **change)
    with pytest.raises(PackageError):
        decode_contents((folder / "package.json").read_bytes())
    refused(packed(folder))


def test_contents_come_back_as_they_went(tmp_path):
    raw = (make(tmp_path / "p") / "package.json").read_bytes()
    assert decode_contents(raw).encode() == raw
    with pytest.raises(PackageError):
        decode_contents(raw.replace(b",", b", ", 1))


@pytest.mark.parametrize("path", ["nothing", "empty"])
def test_what_is_no_package_is_said_to_be_none(tmp_path, path):
    (tmp_path / "empty").mkdir()
    assert "package" in refused(tmp_path / path)


def test_a_call_that_python_310_lacks_does_not_pass_the_check(tmp_path):
    """As `make check` asks for the device's rooms."""
    pytest.importorskip("mypy", reason="needs the extra [dev]")
    makefile = (REPOSITORY / "Makefile").read_text()
    assert "--python-version $$python $(DEVICE_TYPES)" in makefile
    assert "DEVICE_PYTHONS := 3.10 3.12" in makefile
    planted = tmp_path / "planted.py"
    planted.write_text("import contextlib\n\nwith contextlib.chdir('/'):\n    pass\n")
    codes = {
        version: subprocess.run(
            [sys.executable, "-m", "mypy", "--python-version", version, "--no-warn-return-any",
             "--config-file", str(REPOSITORY / "pyproject.toml"), "--cache-dir", str(tmp_path),
             str(planted)],
            check=False, capture_output=True, timeout=120,
        ).returncode
        for version in ("3.10", "3.12")
    }  # fmt: skip
    assert codes == {"3.10": 1, "3.12": 0}
