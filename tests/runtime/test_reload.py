"""`scanside reload` on the command line, against a daemon that serves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from daemons import AddOne, loader, running
from scanside.runtime.cli.reload import reload
from scanside.runtime.errors import KeyFileError, ServerUnreachableError
from scanside.runtime.signing import new_key


def test_it_says_what_the_daemon_trusts_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = tmp_path / "trust"
    trust.mkdir()
    monkeypatch.setenv("SCANSIDE_TRUST", str(trust))
    control = tmp_path / "control"
    with running(loader(AddOne()), control_file=control):
        first = CliRunner().invoke(reload, ["--to", str(control)])
        new_key(tmp_path / "release")
        shutil.copy(tmp_path / "release.pub", trust)
        second = CliRunner().invoke(reload, ["--to", str(control)])
        (trust / "revoked").write_text("nonsense\n")
        broken = CliRunner().invoke(reload, ["--to", str(control)])
    assert (first.exit_code, first.stdout) == (0, "0 trusted keys\n")
    assert (second.exit_code, second.stdout) == (0, "1 trusted keys\n")
    assert isinstance(broken.exception, KeyFileError)


def test_without_a_daemon_it_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(reload, ["--to", str(tmp_path / "control")])
    assert isinstance(result.exception, ServerUnreachableError)
