"""Running `scanside device provision` on a fake Jetson, and seeing what it changed."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result

from scanside.jetson.cli.provision import command
from scanside.runtime.errors import ScansideError
from stateful_tools import calls

Make = Callable[..., Path]


def provision(root: Path, *words: str) -> Result:
    return CliRunner().invoke(command, ["--root", str(root), *words])


def refused(root: Path, *words: str) -> ScansideError:
    """The error with which it ends before it touches anything."""
    before = picture(root)
    result = provision(root, *words)
    assert isinstance(result.exception, ScansideError), result.output
    assert picture(root) == before
    assert calls(root) == []
    assert result.exception.next_step
    return result.exception


def picture(root: Path) -> dict[str, tuple[object, ...]]:
    """Every file and folder but the tools' own notes and the log: owner, mode, contents, time."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name.startswith(("var/fake", "var/log/scanside")) or "__pycache__" in name:
            continue
        status = path.lstat()
        what = path.read_bytes() if path.is_file() else b""
        changed = 0 if path.is_dir() else status.st_mtime_ns
        found[name] = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), what, changed)
    return found


def steps_of(result: Result) -> dict[str, str]:
    return {step["title"]: step["outcome"] for step in json.loads(result.stdout)["steps"]}
