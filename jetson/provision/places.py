"""Folders and files that are there, with an owner and a mode; files are written whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from scanside.jetson.application.trial import sync_folder
from scanside.jetson.application.versions import sweep_parts, told
from scanside.jetson.machine import Machine
from scanside.jetson.provision.accounts import ids_of
from scanside.jetson.steps import Step
from scanside.runtime.errors import DeviceError
from scanside.runtime.files import make_folder, remove_files, replace_file


@dataclass(frozen=True)
class Place:
    """name: an absolute path of the device. user, group: by name."""

    name: str
    mode: int
    user: str = "root"
    group: str = "root"

    def wrong(self, machine: Machine, kind: Callable[[int], bool]) -> str | None:
        """What is not as it should be; None where all is.

        Raises DeviceError where something of another kind is there: a link would lead root astray.
        """
        with told():
            try:
                status = os.lstat(machine.path(self.name))
            except FileNotFoundError:
                return f"make it, {self.user}:{self.group} {self.mode:04o}"
        if not kind(status.st_mode):
            raise DeviceError(
                f"{self.name} is there, and is something else", next_step="look at it, move it away"
            )
        if (status.st_uid, status.st_gid) != ids_of(machine, self.user, self.group):
            return f"give it to {self.user}:{self.group}"
        if stat.S_IMODE(status.st_mode) != self.mode:
            return f"mode {stat.S_IMODE(status.st_mode):04o} to {self.mode:04o}"
        return None

    def grant(self, machine: Machine, descriptor: int) -> None:
        """Give an open file or folder its owner and mode."""
        ids = ids_of(machine, self.user, self.group)
        if ids is None:
            raise DeviceError(f"there is no user {self.user} or no group {self.group}")
        os.fchown(descriptor, *ids)
        os.fchmod(descriptor, self.mode)


def folder_step(machine: Machine, place: Place) -> Step:
    path = machine.path(place.name)

    def do() -> None:
        with told():
            make_folder(path)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                place.grant(machine, descriptor)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    return Step(f"folder {place.name}", lambda: place.wrong(machine, stat.S_ISDIR), do)


def link_step(machine: Machine, name: str, target: str) -> Step:
    """A link that leads to `target`, a path of the device. Another program in its place stays."""
    path = machine.path(name)

    def pending() -> str | None:
        with told():
            try:
                found = os.readlink(path)
            except FileNotFoundError:
                return f"make it, to {target}"
            except OSError as error:
                raise DeviceError(
                    f"{name} is there, and is no link of ours",
                    next_step="look at it, move it away",
                ) from error
        return None if found == target else f"{found} to {target}"

    def do() -> None:
        beside = path.with_name(f".{path.name}.part")
        with told():
            make_folder(path.parent)
            remove_files([beside])
            beside.symlink_to(target)
            beside.replace(path)
            sync_folder(path.parent)

    return Step(f"link {name}", pending, do)


def file_step(
    machine: Machine,
    place: Place,
    text: str,
    title: str = "",
    after: Callable[[], object] = lambda: None,
) -> Step:
    """A file that holds exactly `text`; `after` is called each time that it was written."""
    path = machine.path(place.name)

    def pending() -> str | None:
        wrong = place.wrong(machine, stat.S_ISREG)
        if wrong:
            return wrong
        with told():
            return None if path.read_bytes() == text.encode() else "write it anew"

    def do() -> None:
        with told():
            make_folder(path.parent)
            sweep_parts(path.parent)
            with replace_file(path) as stream:
                place.grant(machine, stream.fileno())
                stream.write(text.encode())
        after()

    return Step(title or place.name, pending, do)
