"""The user that the daemon runs as. It has no password, no shell and no home of its own."""

from __future__ import annotations

from scanside.jetson.device.nodes import GROUPS, read_access
from scanside.jetson.layout import STORE, USER
from scanside.jetson.machine import Machine
from scanside.jetson.steps import Step
from scanside.runtime.errors import DeviceError

NOBODY_LOGS_IN = "/usr/sbin/nologin"
CLOSED = (NOBODY_LOGS_IN, "/sbin/nologin", "/usr/bin/false", "/bin/false")


def account_steps(machine: Machine) -> list[Step]:
    """Raises DeviceError where somebody else has that name already."""
    _refuse_another(machine)
    return [
        Step(f"group {USER}", lambda: _no_group(machine), lambda: _add_group(machine)),
        Step(f"user {USER}", lambda: _no_user(machine), lambda: _add_user(machine)),
        Step(
            f"{USER} is in {' and '.join(GROUPS)}",
            lambda: _outside(machine),
            lambda: tell(machine, "usermod", "--append", "--groups", ",".join(GROUPS), USER),
        ),
    ]


def ids_of(machine: Machine, user: str, group: str) -> tuple[int, int] | None:
    """Numbers of a user and a group of that machine; None where either is not there (yet)."""
    uid, gid = _number(machine, "/etc/passwd", user), _number(machine, "/etc/group", group)
    return None if uid is None or gid is None else (uid, gid)


def tell(machine: Machine, *command: str) -> str:
    """Run a tool that must succeed; what it printed. Raises DeviceError with its own words."""
    ran = machine.run(*command, seconds=120.0)
    if ran is None:
        raise DeviceError(f"there is no {command[0]} here", next_step="this is no whole Ubuntu")
    if ran.code:
        words = " ".join((ran.error or ran.out).split())[-200:]
        raise DeviceError(
            f"{command[0]} failed: {words or f'it ended with {ran.code}'}",
            next_step=f"run it by hand: {' '.join(command)}",
        )
    return ran.out


def _refuse_another(machine: Machine) -> None:
    """An account that can log in is a person's, or was opened later: a daemon that is broken into
    would be too. Its password is looked at where that may be read, as root."""
    found = _words(machine, "/etc/passwd", USER)
    if len(found) < 7:
        return
    secret = (_words(machine, "/etc/shadow", USER) or ["", "!"])[1]
    wrong = ""
    if found[2] == "0":
        wrong = "it is root by another name"
    elif found[-1] not in CLOSED:
        wrong = f"its shell is {found[-1] or '/bin/sh'}"
    elif not secret.startswith(("!", "*")):
        wrong = "it has a password, or needs none"
    if wrong:
        raise DeviceError(
            f"there is a user {USER} that is not the service's: {wrong}",
            next_step=f"rename a person's account (usermod --login NEW {USER}); close the "
            f"service's (usermod --lock --shell {NOBODY_LOGS_IN} {USER})",
        )


def _no_group(machine: Machine) -> str | None:
    there = _number(machine, "/etc/group", USER) is not None
    return None if there else "make it, a system group"


def _no_user(machine: Machine) -> str | None:
    there = _number(machine, "/etc/passwd", USER) is not None
    return None if there else "make it, a system user without password and shell"


def _add_group(machine: Machine) -> None:
    tell(machine, "groupadd", "--system", USER)


def _add_user(machine: Machine) -> None:
    tell(
        *(machine, "useradd", "--system", "--gid", USER, "--home-dir", STORE, "--no-create-home"),
        *("--shell", NOBODY_LOGS_IN, "--comment", "Scanside", USER),
    )


def _outside(machine: Machine) -> str | None:
    access = read_access(machine)
    missing = [group for group in GROUPS if not access.belongs(USER, group)]
    return f"add it to {' and '.join(missing)}" if missing else None


def _number(machine: Machine, file: str, name: str) -> int | None:
    words = _words(machine, file, name)
    return int(words[2]) if len(words) > 2 and words[2].isdigit() else None


def _words(machine: Machine, file: str, name: str) -> list[str]:
    """The line of a name; empty where there is none. The first counts, as for the system."""
    for line in (machine.read(file) or "").splitlines():
        words = line.split(":")
        if words[0] == name:
            return words
    return []
