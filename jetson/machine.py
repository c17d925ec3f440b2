"""The machine that a verb looks at: its files under a root, and the tools that lie there.

For `/` that is this machine. Any other folder is looked at as if it were one, by its own files and
its own tools alone: a mounted image, or the fake devices of the tests. Nothing else in this package
opens a system's file or starts a system's tool.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections import deque
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

TOOL_FOLDERS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
MOST_BYTES = 1 << 20
MOST_LINKS = 40
TOOL_S = 20.0
KILL_S = 2.0
"""A process that is stuck in a driver cannot be killed: it is left then, nobody waits for it."""


class Ran(NamedTuple):
    """How a tool ended. code: its exit status, or -1 where it took longer than it may: then out is
    what it had said by then."""

    code: int
    out: str
    error: str


class Machine:
    """root: "/" for this one."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    @property
    def is_this(self) -> bool:
        return self.root == Path("/")

    @property
    def is_whole_system(self) -> bool:
        """Whether another system's own shell lies under the root: its tools, started from here,
        would change the accounts and services of this one."""
        return not self.is_this and _is_program(self.seen("/bin/sh"))

    def path(self, name: str) -> Path:
        """Where the absolute path `name` of that machine lies here."""
        return self.root / name.lstrip("/")

    def seen(self, name: str) -> Path:
        """As `path`, its links followed as that machine would: one that begins at / begins at the
        root, and none leads out of it."""
        if self.is_this:
            return self.path(name)
        parts, seen, links = deque(name.split("/")), PurePosixPath(), 0
        while parts and links < MOST_LINKS:
            part = parts.popleft()
            if part in ("", ".", ".."):
                seen = seen.parent if part == ".." else seen
                continue
            try:
                target = os.readlink(self.root / seen / part)
            except OSError:  # no link, or nothing at all
                seen /= part
                continue
            links += 1
            seen = PurePosixPath() if target.startswith("/") else seen
            parts.extendleft(reversed(target.split("/")))
        return self.root.joinpath(seen, *parts)

    def has(self, name: str) -> bool:
        """Whether there is such a file or folder that can be seen by whoever asks."""
        return os.path.exists(self.seen(name))  # Path.exists raises where a folder is closed

    def read(self, name: str) -> str | None:
        """A file's text, at most 1 MiB of it, without NULs and blanks at its ends; None where it is
        not there, cannot be read or is no file. /proc and /sys tell their sizes wrongly, so it is
        read to its end."""
        try:
            with self.seen(name).open("rb") as stream:
                raw = stream.read(MOST_BYTES)
        except OSError:
            return None
        return raw.decode(errors="replace").strip("\0 \t\r\n")

    def list(self, name: str) -> list[str]:
        """Names in a folder, sorted; none where there is no such folder."""
        try:
            return sorted(os.listdir(self.seen(name)))
        except OSError:
            return []

    def tool(self, name: str) -> Path | None:
        """Where a tool lies; None where that machine has none of that name."""
        folders = os.pathsep.join(str(self.path(folder)) for folder in TOOL_FOLDERS)
        found = shutil.which(name, path=folders)
        return Path(found) if found else None

    def run(
        self,
        *command: str,
        seconds: float = TOOL_S,
        given: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Ran | None:
        """Run one of its tools, in the C locale; None where it has no such tool or it cannot start.

        given: what it reads on its standard input. Never a shell: words are passed as they are.
        """
        tool = self.tool(command[0])
        if tool is None:
            return None
        words = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", **(environment or {})}
        if not self.is_this:
            words["PATH"] = os.pathsep.join(str(self.path(folder)) for folder in TOOL_FOLDERS)
            words["PATH"] += os.pathsep + os.defpath
        pipe = subprocess.PIPE
        try:
            child = subprocess.Popen(
                [str(tool), *command[1:]], stdin=pipe, stdout=pipe, stderr=pipe, env=words
            )
        except OSError:
            return None
        try:
            out, error = child.communicate(given.encode(), timeout=seconds)
        except subprocess.TimeoutExpired as late:
            said = (late.stdout or b"").decode(errors="replace")
            return Ran(-1, said, f"took longer than {seconds:g} s")
        finally:
            _end(child)
        return Ran(child.returncode, out.decode(errors="replace"), error.decode(errors="replace"))


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(KILL_S)
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream:
            stream.close()


def _is_program(path: Path) -> bool:
    """Whether it is compiled, not a script."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) == b"\x7fELF"
    except OSError:
        return False
