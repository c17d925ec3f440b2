"""The active bundle does not come up: the daemon ends, and says how a person goes back."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bundles import make_manifest, make_members, write_test_bundle
from scanside.compile.pack import sign_bundle, write_bundle
from scanside.runtime.cli import main
from scanside.runtime.daemon.loading import EngineChoice, StoreSource
from scanside.runtime.errors import BundleError, EngineUnavailableError, StoreError
from scanside.runtime.signing import load_private_key, new_key
from scanside.runtime.store import Store

PROGRAM = [sys.executable, "-W", "error", "-c", "from scanside.runtime.cli import main; main()"]
ENGINE = EngineChoice("onnxruntime", 1)
WAY_BACK = "or go back to the bundle before: scanside store rollback --store "


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_test_bundle(tmp_path / "good.scanside", residual=0.01, serial=1, version="1.0.0")


@pytest.fixture
def store(tmp_path: Path, good: Path) -> Store:
    """With `good` active."""
    one = Store(tmp_path / "store", allow_unsigned=True)
    one.activate(one.install(good).sha256)
    return one


def activate(store: Store, file: Path) -> Path:
    """Where its copy lies in the store."""
    sha256 = store.install(file).sha256
    store.activate(sha256)
    return store.file_of(sha256)


def damaged(store: Store, folder: Path) -> None:
    copy = activate(store, write_test_bundle(folder / "new.scanside", residual=0.02, serial=2))
    raw = bytearray(copy.read_bytes())
    raw[len(raw) // 2] ^= 1
    copy.write_bytes(raw)


def gone(store: Store, folder: Path) -> None:
    damaged(store, folder)
    (store.file_of(str(store.chosen().active))).unlink()


def of_another_network(store: Store, folder: Path) -> None:
    """Its golden frames do not match."""
    manifest = make_manifest(serial=2)
    members = make_members(manifest, 0.3) | {"model.cpu.onnx": make_members(manifest)["model.onnx"]}
    write_bundle(folder / "new.scanside", manifest, members)
    activate(store, folder / "new.scanside")


def serve(store: Store) -> subprocess.Popen[str]:
    command = [*PROGRAM, "serve", "--store", str(store.folder), "--allow-unsigned"]
    command += ["--engine", "onnxruntime", "--threads", "1", "--bind", "tcp://127.0.0.1:*"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=os.environ.copy())


@pytest.mark.parametrize(
    ("spoil", "code"),
    [(damaged, 17), (gone, 17), (of_another_network, 6)],
    ids=["damaged", "gone", "of another network"],
)
def test_it_ends_and_the_command_that_it_names_brings_the_one_before(
    store: Store, tmp_path: Path, spoil: Callable[[Store, Path], None], code: int
) -> None:
    spoil(store, tmp_path)
    with serve(store) as process:
        out, said = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, ""), "an older model never serves by itself"
    named = said.split("or go back to the bundle before: ")[1].splitlines()[0].rstrip(")")
    words = shlex.split(named)
    assert words == ["scanside", "store", "rollback", "--store", str(store.folder)]
    with pytest.raises(SystemExit) as ended:
        main([*words[1:], "--allow-unsigned"])
    assert not ended.value.code
    with serve(store) as process:
        assert process.stdout is not None
        assert " 1.0.0 (" in process.stdout.readline()
        process.kill()


def test_a_key_that_was_revoked_is_told_alike(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = tmp_path / "trust"
    trust.mkdir()
    monkeypatch.setenv("SCANSIDE_TRUST", str(trust))
    second = write_test_bundle(tmp_path / "second.scanside", residual=0.02, serial=2)
    store = Store(tmp_path / "store")
    keys = []
    for file in (good, second):
        key = tmp_path / file.stem
        keys.append(new_key(key))
        (trust / f"{file.stem}.pub").write_bytes(key.with_suffix(".pub").read_bytes())
        sign_bundle(file, load_private_key(key), file)
        activate(store, file)
    (trust / "revoked").write_text(f"{keys[-1]}\n")
    with pytest.raises(BundleError) as caught:
        StoreSource(store, ENGINE).first(lambda *_: None)
    assert caught.value.next_step.endswith(WAY_BACK + str(store.folder))
    (trust / "good.pub").unlink()
    with pytest.raises(BundleError) as caught:
        StoreSource(store, ENGINE).first(lambda *_: None)
    assert WAY_BACK not in caught.value.next_step, "the one before would not come up either"


def test_there_is_no_way_back_where_none_was_before_or_it_is_not_the_bundles_fault(
    store: Store, tmp_path: Path
) -> None:
    with pytest.raises(EngineUnavailableError) as missing:
        StoreSource(store, EngineChoice("tensorrt")).first(lambda *_: None)
    assert WAY_BACK not in missing.value.next_step
    store.file_of(str(store.chosen().active)).unlink()
    with pytest.raises(StoreError) as alone:
        StoreSource(store, ENGINE).first(lambda *_: None)
    assert WAY_BACK not in alone.value.next_step
