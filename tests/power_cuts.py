"""Ends a process just before its N-th change to a folder, for every N: killed, or by a power cut.

A kill leaves everything as it is. A power cut takes what was never synced: of a file that was not
synced half its bytes stay; names that were made, moved or removed in a folder that was not synced
since are as they were before. That is the worst that POSIX allows, and more than most disks do.

`every_step` forks; it is run in a process of its own, `python power_cuts.py`, without threads.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from scanside.runtime.store import Store

WRITING = os.O_WRONLY | os.O_RDWR


class Disk:
    """Watches this process change files under `folder` and ends it before the change `fatal`.

    backups: another folder on the same disk.
    """

    def __init__(self, folder: Path, backups: Path, fatal: int, *, power_cut: bool) -> None:
        self._folder = os.path.realpath(folder)
        self._backups = backups
        self._fatal = fatal
        self._power_cut = power_cut
        self._steps = 0
        self._dying = False
        self._dirty: set[str] = set()
        self._undo: list[tuple[str, Callable[[], None]]] = []  # folder of the name, how
        self._fsync = os.fsync
        os.fsync = self._synced
        sys.addaudithook(self._hook)

    def _hook(self, name: str, arguments: tuple[Any, ...]) -> None:
        if self._dying or name not in ("open", "os.rename", "os.remove", "os.mkdir"):
            return
        path = arguments[0]
        if not isinstance(path, (str, os.PathLike)) or isinstance(path, bytes):
            return
        path = os.path.abspath(path)
        if not f"{path}/".startswith(f"{self._folder}/"):
            return
        if name == "open":
            if arguments[2] & WRITING:
                self._step()
                self._opened(path)
            return
        self._step()
        parent = os.path.dirname(path)
        if name == "os.rename":
            self._renamed(path, os.path.abspath(arguments[1]))
        elif name == "os.remove" and os.path.exists(path):
            kept = self._keep(path)
            self._undo.append((parent, lambda: os.link(kept, path)))
        elif name == "os.mkdir" and not os.path.exists(path):
            self._undo.append((parent, lambda: os.rmdir(path)))

    def _opened(self, path: str) -> None:
        self._dirty.add(path)
        if not os.path.exists(path):
            self._undo.append((os.path.dirname(path), lambda: os.unlink(path)))

    def _renamed(self, source: str, target: str) -> None:
        kept = self._keep(target) if os.path.exists(target) else ""

        def undo() -> None:
            os.rename(target, source)
            if kept:
                os.link(kept, target)

        self._undo.append((os.path.dirname(target), undo))
        if source in self._dirty:
            self._dirty.remove(source)
            self._dirty.add(target)

    def _keep(self, path: str) -> str:
        kept = str(self._backups / str(self._steps))
        os.link(path, kept)
        return kept

    def _synced(self, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self._step()
        self._fsync(descriptor)
        if os.path.isdir(path):
            self._undo = [(parent, undo) for parent, undo in self._undo if parent != path]
        self._dirty.discard(path)

    def _step(self) -> None:
        self._steps += 1
        if self._steps != self._fatal:
            return
        self.lose_what_was_not_synced()
        os.kill(os.getpid(), signal.SIGKILL)

    def lose_what_was_not_synced(self) -> None:
        self._dying = True
        if not self._power_cut:
            return
        for path in self._dirty:
            if os.path.exists(path):
                os.truncate(path, os.path.getsize(path) // 2)
        for _, undo in reversed(self._undo):
            undo()


def every_step(base: Path, work: Path, scenario: str, *, power_cut: bool) -> int:
    """Run a scenario of `SCENARIOS` on copies of the store `base`, `work`/1 and so on, each ended
    one change later than the one before, the last right after it was done; returns how many were
    ended before."""
    for number in count(1):
        folder, backups = work / str(number), work / f"{number}.backups"
        shutil.copytree(base, folder)
        backups.mkdir(parents=True)
        child = os.fork()
        if not child:
            try:
                disk = Disk(folder, backups, number, power_cut=power_cut)
                SCENARIOS[scenario](folder, work.parent)
                disk.lose_what_was_not_synced()
                os._exit(0)
            except BaseException as error:  # noqa: BLE001 - the parent reads the exit status
                sys.stderr.write(f"{error!r}\n")
                os._exit(1)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return number - 1
        if code != -signal.SIGKILL:
            raise SystemExit(f"{scenario}, step {number}: ended with {code}")
    raise AssertionError("count() does not end")


def _swap(folder: Path, files: Path) -> None:
    store = Store(folder, allow_unsigned=True)
    store.activate(store.install(files / "new.scanside").sha256)


def _rollback(folder: Path, files: Path) -> None:
    Store(folder, allow_unsigned=True).rollback()


def _prune(folder: Path, files: Path) -> None:
    Store(folder, allow_unsigned=True).prune()


SCENARIOS = {"swap": _swap, "rollback": _rollback, "prune": _prune}


def steps_of(base: Path, work: Path, scenario: str, *, power_cut: bool) -> int:
    """`every_step` in a process of its own."""
    command = [sys.executable, __file__, str(base), str(work), scenario, json.dumps(power_cut)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


if __name__ == "__main__":
    print(  # noqa: T201
        every_step(
            Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], power_cut=json.loads(sys.argv[4])
        )
    )
