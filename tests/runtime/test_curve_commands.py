"""`scanside serve`, `send`, `status` and `keys` with keys of the wire, as a user runs them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from bundles import write_test_bundle
from scanside.runtime.cli import main

PROGRAM = [sys.executable, "-W", "error", "-c", "from scanside.runtime.cli import main; main()"]
CT = str(get_testdata_file("CT_small.dcm"))


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    return str(write_test_bundle(tmp_path / "t.scanside", residual=0.01))


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The daemon's and the client's, made as docs/keys.md says."""
    monkeypatch.delenv("SCANSIDE_KEYS", raising=False)
    daemon, client = tmp_path / "wire", tmp_path / "mine"
    for folder in (daemon, client, daemon / "clients"):
        folder.mkdir()
        folder.chmod(0o755)
    assert not code("keys", "new", daemon / "server", "--wire")
    assert not code("keys", "new", client / "client", "--wire")
    (client / "server.pub").write_text((daemon / "server.pub").read_text())
    listed = daemon / "clients" / "scanner.pub"
    listed.write_text((client / "client.pub").read_text())
    listed.chmod(0o644)
    return daemon, client


@pytest.fixture
def url(bundle: str, folders: tuple[Path, Path]) -> Iterator[str]:
    command = [*PROGRAM, "serve", bundle, "--engine", "onnxruntime", "--threads", "1"]
    command += ["--bind", "tcp://127.0.0.1:*", "--allow-unsigned", "--keys", str(folders[0])]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split(" ")[1].rstrip(",")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    assert "-key" not in log


def code(*arguments: object) -> Any:
    with pytest.raises(SystemExit) as raised:
        main([str(argument) for argument in arguments])
    return raised.value.code


def test_images_go_through_and_the_state_is_told(
    url: str, folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ("--keys", folders[1])
    assert not code("send", CT, "--to", url, "--out", tmp_path / "out.dcm", *keys)
    assert (tmp_path / "out.dcm").exists()
    capsys.readouterr()
    assert not code("status", url, "--json", *keys)
    assert '"enhanced": 1' in capsys.readouterr().out


def test_without_keys_both_say_what_to_do(
    url: str,
    folders: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for verb in (("send", CT, "--to", url), ("status", url), ("status", url, "--watch")):
        assert code(*verb) == 7
        assert "--keys FOLDER" in capsys.readouterr().err
    monkeypatch.setenv("SCANSIDE_KEYS", str(folders[1]))
    assert not code("status", url)


def test_other_machines_need_keys_and_a_signed_bundle(
    bundle: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    public = ("serve", bundle, "--bind", "tcp://0.0.0.0:*")
    assert code(*public, "--allow-unsigned") == 7
    assert "--keys" in capsys.readouterr().err
    assert code(*public, "--allow-unsigned", "--keys", folders[0]) == 5
    assert "this machine alone" in capsys.readouterr().err
    assert code(*public, "--keys", folders[0]) == 5
    assert "no signature" in capsys.readouterr().err


def test_a_daemon_whose_keys_are_amiss_does_not_start(
    bundle: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    serve = ("serve", bundle, "--bind", "tcp://127.0.0.1:*", "--allow-unsigned", "--keys")
    assert code(*serve, folders[0] / "none") == 14
    (folders[0] / "server.key").chmod(0o644)
    capsys.readouterr()
    assert code(*serve, folders[0]) == 14
    assert "chmod 600" in capsys.readouterr().err
    (folders[0] / "server.key").chmod(0o600)
    (folders[0] / "clients" / "scanner.pub").unlink()
    assert code(*serve, folders[0]) == 14
    assert "nobody could come in" in capsys.readouterr().err
