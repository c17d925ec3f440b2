"""Whose package a blank device takes, and whose signatures count on it afterwards."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scanside.jetson.cli.provision import command
from scanside.jetson.machine import Machine
from scanside.jetson.package.contents import Contents, File
from scanside.jetson.provision.trust import trust_steps
from scanside.jetson.steps import carry_out
from scanside.runtime.errors import DeviceError, KeyFileError, PackageError
from scanside.runtime.signing import Trust, key_id, load_private_key, load_public_key, new_key
from stateful_tools import blank_jetson, calls

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others: needs root")

Make = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return blank_jetson(tmp_path / "root")


@pytest.fixture
def package(tmp_path: Path) -> Make:
    """Makes a package signed by `key`, which brings the public keys of `trust` along."""

    def make(
        key: str = "release", trust: tuple[str, ...] = ("release",), jetpack: str = "6.2"
    ) -> Path:
        folder = tmp_path / "package"
        (folder / "trust").mkdir(parents=True)
        for name in {key, *trust} - {""}:
            if not (tmp_path / name).exists():
                new_key(tmp_path / name)
        files = []
        for name in sorted(trust):
            data = (tmp_path / f"{name}.pub").read_bytes()
            (folder / f"trust/{name}.pub").write_bytes(data)
            sha256 = hashlib.sha256(data).hexdigest()
            files.append(File(name=f"trust/{name}.pub", sha256=sha256, size=len(data)))
        contents = Contents(
            version="0.1.0",
            jetpack=jetpack,
            python="3.10",
            created="2026-11-23T00:00:00Z",
            files=tuple(files),
        )
        raw = contents.encode()
        (folder / "package.json").write_bytes(raw)
        if key:
            (folder / "package.sig").write_bytes(load_private_key(tmp_path / key).sign(raw))
        return folder

    return make


def identity(file: Path) -> str:
    return key_id(load_public_key(file))


def dry(root: Path, package: Path, *words: str) -> Result:
    """A dry run: the application's own steps need real wheels, which other tests have."""
    return CliRunner().invoke(
        command, ["--root", str(root), "--package", str(package), "--dry-run", *words]
    )


def trusting(root: Path, *keys: Path) -> None:
    folder = root / "etc/scanside/trust"
    folder.mkdir(parents=True)
    for key in keys:
        (folder / key.name).write_bytes(key.read_bytes())


def test_a_blank_device_takes_the_package_whose_key_was_named(root: Path, package: Make) -> None:
    folder = package()
    name = identity(folder / "trust/release.pub")
    result = dry(root, folder, "--key", name[:16])
    assert result.exit_code == 0, result.output
    assert f"key {name[:16]} (release.pub) is trusted" in result.output
    assert calls(root) == []


def test_a_blank_device_takes_none_without_a_named_key(root: Path, package: Make) -> None:
    result = dry(root, package())
    assert isinstance(result.exception, PackageError)


@pytest.mark.parametrize("named", ["0" * 64, "abcd", ""])
def test_a_key_that_the_package_does_not_bring_is_no_key(
    root: Path, package: Make, named: str
) -> None:
    result = dry(root, package(), "--key", named)
    assert isinstance(result.exception, KeyFileError)


def test_the_named_key_must_be_the_one_that_signed(
    root: Path, package: Make, tmp_path: Path
) -> None:
    folder = package("mallory", ("release",))
    result = dry(root, folder, "--key", identity(tmp_path / "release.pub"))
    assert isinstance(result.exception, PackageError)


def test_a_device_that_trusts_a_key_asks_for_the_named_one_too(
    root: Path, package: Make, tmp_path: Path
) -> None:
    folder = package("release", ("release", "next"))
    trusting(root, tmp_path / "release.pub")
    assert dry(root, folder).exit_code == 0
    assert dry(root, folder, "--key", identity(tmp_path / "release.pub")).exit_code == 0
    result = dry(root, folder, "--key", identity(tmp_path / "next.pub"))
    assert isinstance(result.exception, PackageError)
    assert "not by the key named" in str(result.exception)


def test_an_unsigned_package_brings_no_trust(root: Path, package: Make) -> None:
    folder = package("", ("mallory",))
    assert isinstance(dry(root, folder).exception, PackageError)
    result = dry(root, folder, "--allow-unsigned")
    assert result.exit_code == 0, result.output
    assert "is trusted" not in result.output


def test_another_jetpacks_package_is_refused(root: Path, package: Make) -> None:
    folder = package(jetpack="7.2")
    result = dry(root, folder, "--key", identity(folder / "trust/release.pub"))
    assert isinstance(result.exception, DeviceError)
    assert "JetPack 7.2" in str(result.exception)


def test_keys_are_added_and_never_replaced(root: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for name in ("release", "next", "third", "other/release"):
        new_key(tmp_path / name)
    machine = Machine(root)
    release, following, third = (tmp_path / f"{n}.pub" for n in ("release", "next", "third"))
    report = carry_out("test", trust_steps(machine, [release, following]))
    assert report.changed == 2
    held = root / "etc/scanside/trust"
    assert set(Trust.load(held).keys) == {identity(release), identity(following)}
    assert (held / "release.pub").stat().st_mode & 0o777 == 0o644
    assert trust_steps(machine, [release, following]) == []
    with pytest.raises(DeviceError, match="at most 2"):
        trust_steps(machine, [third])
    with pytest.raises(DeviceError, match="another key"):
        trust_steps(machine, [tmp_path / "other/release.pub"])


def test_a_key_that_was_revoked_here_does_not_come_back(root: Path, tmp_path: Path) -> None:
    new_key(tmp_path / "release")
    trusting(root)
    (root / "etc/scanside/trust/revoked").write_text(identity(tmp_path / "release.pub") + "\n")
    with pytest.raises(DeviceError, match="revoked"):
        trust_steps(Machine(root), [tmp_path / "release.pub"])


def test_a_revoked_key_that_is_named_is_refused(root: Path, package: Make) -> None:
    folder = package()
    name = identity(folder / "trust/release.pub")
    trusting(root)
    (root / "etc/scanside/trust/revoked").write_text(f"{name}\n")
    assert isinstance(dry(root, folder, "--key", name).exception, PackageError)
