"""What a disk may hold when the power goes: after every step of a piece of work, in every variant.

The disk surely holds what was synced: of a file its bytes at its last fsync, of a folder its names
at its last fsync. Everything since may be there or not, each name for itself; of a file that was
never synced nothing is there but its name. This is the worst that POSIX allows, renames being
whole.

`Replay` traces one process by audit hooks. Before each change (open for writing, rename, link,
removal, folder, fsync, a program that is started) it lays out the variants and has them judged.
What programs write is seen too: the folder is compared, not its calls.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHANGES = (
    "open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.chmod",
    "os.truncate", "subprocess.Popen",
)  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR
PRIMITIVES = ("files.py", "contextlib.py")
"""Whoever uses these is the call site, not they."""
MOST_ALONE = 6

Entry = tuple[str, object]
Names = dict[str, Entry]
Change = tuple[int, str]
Judge = Callable[[Path, str], "str | None"]
Site = tuple[str, ...]

_tracing: list[Callable[[str, tuple[Any, ...]], None]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _tracing and event in CHANGES:
        _tracing[-1](event, arguments)


def is_change(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    """Whether an audit event changes something under `folder`; a program may change anything."""
    if event == "subprocess.Popen":
        return True
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
        return False
    path = arguments[1] if event in ("os.symlink", "os.link") else arguments[0]
    if not isinstance(path, (str, os.PathLike)):
        return False
    near = next((one for one in arguments[1:] if isinstance(one, int) and one >= 0), None)
    if event in ("os.remove", "os.rmdir", "os.mkdir") and near is not None:
        path = (
            os.path.join(os.readlink(f"/proc/self/fd/{arguments[-1]}"), path)
            if (arguments[-1] >= 0)
            else path
        )
    return f"{os.path.abspath(path)}/".startswith(f"{folder}/")


@contextmanager
def traced(told: Callable[[str, tuple[Any, ...]], None]) -> Iterator[None]:
    """While open, `told` hears of every change before it is made, in this thread."""
    if not getattr(sys, "_scanside_audited", False):
        sys.addaudithook(_hook)
        sys._scanside_audited = True  # type: ignore[attr-defined]
    _tracing.append(told)
    try:
        yield
    finally:
        _tracing.remove(told)


class Replay:
    """folder: what is watched. scratch: for variants and backups, on the same disk. judge: says
    what is wrong with a variant at a step, or None. without: the fsync that is taken out."""

    def __init__(self, folder: Path, scratch: Path, judge: Judge, without: Site = ()) -> None:
        self._folder = os.path.realpath(folder)
        self._scratch = scratch
        self._judge = judge
        self._without = without
        self._backups = scratch / "backups"
        self._backups.mkdir(parents=True)
        self._contents: dict[int, tuple[bytes, int]] = {}
        self._dirs: dict[int, Names] = {}
        self._dead = 0
        self._busy = self._missed = False
        self.steps = 0
        self.variants = 0
        self.sites: set[Site] = set()
        self.wrong: list[str] = []
        for path, _, files in os.walk(self._folder):
            self._dirs[os.stat(path).st_ino] = self._names(path)
            for name in files:
                if not os.path.islink(os.path.join(path, name)):
                    self._take(os.path.join(path, name))

    def run(self, work: Callable[[], object]) -> None:
        """Do the work, judging before each of its steps; what is there after it must be there still
        when the power goes then."""
        real = os.fsync

        def fsync(descriptor: int) -> None:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if self._busy or not f"{path}/".startswith(f"{self._folder}/"):
                real(descriptor)
                return
            self._step("fsync")
            site = call_site()
            self.sites.add(site)
            if site == self._without:
                self._missed = True
            else:
                self._synced(path)

        os.fsync = fsync
        try:
            with traced(self._told):
                work()
                self._step("done")
        finally:
            os.fsync = real
        self.settled("all")

    def settled(self, what: str) -> None:
        """Something was said to be done: what is there must be there still when the power goes."""
        busy, self._busy = self._busy, True
        difference = compare(Path(self._folder), self._lay_out("after", set()))
        self._busy = busy
        if difference:
            self.wrong.append(f"lost after it was done ({what}): {difference}")

    def _told(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._busy or not is_change(event, arguments, self._folder):
            return
        self._step(event)
        if event == "os.rmdir":
            self._forget(arguments)

    def _step(self, event: str) -> None:
        self.steps += 1
        if self._without and (self.wrong or not self._missed):
            return  # nothing is otherwise yet; and that it was noticed is all that is asked
        self._busy = True
        try:
            changes = sorted(self._changes())
            for variant, kept in _variants(changes, self.steps):
                place = self._lay_out(variant, kept)
                self.variants += 1
                try:
                    flaw = self._judge(place, event)
                except Exception as error:  # noqa: BLE001 - whatever it is, this disk is no good
                    flaw = f"{type(error).__name__}: {error}"
                    if os.environ.get("CUTS_TRACE"):
                        traceback.print_exc()
                if flaw:
                    self.wrong.append(f"step {self.steps} ({event}), {variant}: {flaw}")
                shutil.rmtree(place)
        finally:
            self._busy = False

    def _synced(self, path: str) -> None:
        if os.path.isdir(path):
            self._dirs[os.stat(path).st_ino] = self._names(path)
        else:
            self._take(path)

    def _take(self, path: str) -> None:
        """A file's bytes as they are now. A second name keeps its inode's number from being used
        again."""
        found = os.stat(path)
        with open(path, "rb") as stream:
            self._contents[found.st_ino] = (stream.read(), stat.S_IMODE(found.st_mode))
        backup = self._backups / str(found.st_ino)
        if not backup.exists():
            busy, self._busy = self._busy, True
            os.link(path, backup)
            self._busy = busy

    def _forget(self, arguments: tuple[Any, ...]) -> None:
        """A folder goes, and its number may come again for another."""
        path = arguments[0]
        if arguments[-1] >= 0:
            path = os.path.join(os.readlink(f"/proc/self/fd/{arguments[-1]}"), path)
        number = os.stat(path).st_ino
        self._dead -= 1
        self._dirs[self._dead] = self._dirs.pop(number, {})
        for names in self._dirs.values():
            for name, entry in names.items():
                if entry == ("dir", number):
                    names[name] = ("dir", self._dead)

    @staticmethod
    def _names(path: str) -> Names:
        names: Names = {}
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_symlink():
                    names[entry.name] = ("link", os.readlink(entry.path))
                else:
                    kind = "dir" if entry.is_dir() else "file"
                    names[entry.name] = (kind, entry.inode())
        return names

    def _now(self) -> dict[int, Names]:
        return {os.stat(path).st_ino: self._names(path) for path, _, _ in os.walk(self._folder)}

    def _changes(self) -> set[Change]:
        now = self._now()
        return {
            (number, name)
            for number in now.keys() | {one for one in self._dirs if one > 0}
            for name in now.get(number, {}).keys() | self._dirs.get(number, {}).keys()
            if number in now and now[number].get(name) != self._dirs.get(number, {}).get(name)
        }

    def _lay_out(self, variant: str, kept: set[Change]) -> Path:
        """A disk on which, of the names that were changed and not synced, these are as they are."""
        place = self._scratch / "disk"
        if place.exists():
            shutil.rmtree(place)
        self._fill(place, os.stat(self._folder).st_ino, self._now(), kept)
        return place

    def _fill(self, place: Path, number: int, now: dict[int, Names], kept: set[Change]) -> None:
        place.mkdir(parents=True)
        surely, here = self._dirs.get(number, {}), now.get(number, {})
        for name in surely.keys() | here.keys():
            entry = here.get(name) if (number, name) in kept or number not in now else None
            if (number, name) not in kept:
                entry = surely.get(name)
            if entry is None:
                continue
            kind, what = entry
            if kind == "link":
                (place / name).symlink_to(str(what))
            elif kind == "dir":
                assert isinstance(what, int)
                self._fill(place / name, what, now, kept)
            else:
                assert isinstance(what, int)
                data, mode = self._contents.get(what, (b"", 0o644))
                (place / name).write_bytes(data)
                (place / name).chmod(mode)


def _variants(changes: list[Change], seed: int) -> Iterator[tuple[str, set[Change]]]:
    """Nothing of what was not synced is there, all of it, each alone, all but each."""
    yield "nothing kept", set()
    if not changes:
        return
    yield "all kept", set(changes)
    if len(changes) == 1:
        return
    chosen = changes
    if len(changes) > MOST_ALONE:
        chosen = random.Random(seed).sample(changes, MOST_ALONE)
    for one in chosen:
        yield f"only {one[1]} kept", {one}
        yield f"all but {one[1]} kept", set(changes) - {one}


def call_site() -> Site:
    """The lines that led to an fsync: itself, and up to the first that is no primitive's."""
    frame = sys._getframe(2)
    site = []
    while frame is not None:
        name = os.path.basename(frame.f_code.co_filename)
        inner = name in PRIMITIVES or frame.f_code.co_name == "sync_folder"
        if name != "contextlib.py":
            site.append(f"{name}:{frame.f_lineno}")
        if not inner:
            break
        assert frame.f_back is not None
        frame = frame.f_back
    return tuple(site)


def compare(one: Path, other: Path) -> str:
    """What `other` lacks or has otherwise; locks and half-done files aside."""

    def contents(folder: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if path.name == "lock" or path.name.endswith(".part"):
                continue
            if path.is_symlink():
                found[name] = os.readlink(path)
            else:
                found[name] = path.read_bytes() if path.is_file() else None
        return found

    here, there = contents(one), contents(other)
    return ", ".join(
        sorted(
            name for name in here.keys() | there.keys() if here.get(name, 0) != there.get(name, 0)
        )
    )
