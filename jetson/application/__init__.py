"""The application on the device: made beside the one that runs, tried, and taken back by itself.

`install_version` is what provision does first, `update_steps` what `scanside device update` does;
docs/updates.md says what a power cut leaves at each point.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from scanside.jetson.application import trial, versions
from scanside.jetson.application.service import LIMIT_S, Service
from scanside.jetson.layout import UNITS
from scanside.jetson.steps import Step
from scanside.runtime.errors import DeviceError, PackageError
from scanside.runtime.files import make_folder, replace_file

if TYPE_CHECKING:
    from scanside.jetson.machine import Machine
    from scanside.jetson.package import Package

CHECK = trial.APPLICATION / "check-update"
CHECK_UNIT = "scanside-update-check.service"
_UNIT_FILE = Path(__file__).parents[1] / "systemd" / CHECK_UNIT


def install_version(machine: Machine, package: Package) -> list[Step]:
    """Steps that put a package's version beside the others, and make it the current one where none
    is. Whoever updates switches to it by `update_steps`.

    `check-update` must run before each start of the service: its unit is written and enabled here.
    """
    return [
        _build(machine, package),
        *_check_at_start(machine),
        _first(machine, package),
    ]


def update_steps(
    machine: Machine,
    package: Package,
    *,
    force: bool = False,
    limit_s: float = LIMIT_S,
    told: Callable[[str], object] = lambda state: None,
) -> list[Step]:
    """Steps of `scanside device update`. force: an older version too. limit_s: to READY, of the new
    version; told: its states."""
    return [
        *install_version(machine, package)[:-1],
        _switch(machine, package, Service(machine, limit_s, told), force),
        prune_step(machine),
    ]


def back_steps(
    machine: Machine,
    *,
    limit_s: float = LIMIT_S,
    told: Callable[[str], object] = lambda state: None,
) -> list[Step]:
    """Steps of `scanside device update --back`: the previous version becomes the current one."""
    folder = versions.folder_of(machine)
    wanted = trial.linked(folder, trial.PREVIOUS)

    def pending() -> str | None:
        if wanted is None or not trial.is_whole(folder, wanted):
            raise DeviceError("there is no previous version here", next_step="update to another")
        done = trial.linked(folder, trial.CURRENT) == wanted and trial.pending(folder) is None
        return None if done else f"{wanted} becomes the current version"

    service = Service(machine, limit_s, told)
    return [Step("the previous version serves", pending, lambda: _try(machine, wanted, service))]


def _build(machine: Machine, package: Package) -> Step:
    def pending() -> str | None:
        versions.check_fits(machine, package)
        with versions.told():
            if versions.made_from(machine, package):
                return None
        return f"a virtual environment from {len(package.wheels)} wheels"

    def do() -> None:
        with versions.alone(machine):
            versions.build_version(machine, package)

    return Step(f"version {package.version} is there", pending, do)


def _check_at_start(machine: Machine) -> list[Step]:
    check, unit = machine.path(str(CHECK)), machine.path(f"{UNITS}/{CHECK_UNIT}")

    def keep(path: Path, text: bytes, mode: int) -> None:
        with versions.told():
            make_folder(path.parent)
            versions.sweep_parts(path.parent)
            with replace_file(path) as stream:
                os.fchmod(stream.fileno(), mode)
                stream.write(text)
        if path == unit:  # an enabled one would go on as systemd read it before
            machine.run("systemctl", "daemon-reload")

    def file_step(title: str, path: Path, text: bytes, mode: int) -> Step:
        def pending() -> str | None:
            with versions.told():
                there = path.read_bytes() if path.is_file() else b""
            return None if there == text else f"write {path.name}"

        return Step(title, pending, lambda: keep(path, text, mode))

    def enabled() -> str | None:
        ran = machine.run("systemctl", "is-enabled", CHECK_UNIT)
        if ran is None or ran.out.strip() == "enabled":
            return None  # without systemd (an image that is mounted) there is nothing to enable
        return "systemctl enable"

    def enable() -> None:
        machine.run("systemctl", "daemon-reload")
        ran = machine.run("systemctl", "enable", CHECK_UNIT)
        if ran is None or ran.code:
            raise DeviceError(
                f"{CHECK_UNIT} cannot be enabled: {ran.error.strip() if ran else 'no systemctl'}",
                next_step=f"systemctl status {CHECK_UNIT}",
            )

    source = Path(trial.__file__).read_bytes()
    return [
        file_step("what goes back by itself is there", check, source, 0o755),
        file_step("its unit is there", unit, _UNIT_FILE.read_bytes(), 0o644),
        Step("it runs before each start of the service", enabled, enable),
    ]


def _first(machine: Machine, package: Package) -> Step:
    folder = versions.folder_of(machine)

    def pending() -> str | None:
        there = trial.linked(folder, trial.CURRENT) is not None
        return None if there else f"{package.version}, the first"

    def do() -> None:
        with versions.alone(machine):
            trial.begin(folder, _made(machine, package))

    return Step("a version is the current one", pending, do)


def _switch(machine: Machine, package: Package, service: Service, force: bool) -> Step:
    folder = versions.folder_of(machine)

    def pending() -> str | None:
        made = versions.made_from(machine, package)
        current = trial.linked(folder, trial.CURRENT)
        if made and made == current and trial.pending(folder) is None:
            return None
        now = versions.whole_versions(machine).get(current or "")
        if now and not force and _older(package.version, now.version):
            raise PackageError(
                f"the package's version {package.version} is older than {now.version}, which runs",
                next_step="`scanside device update --back`, or --force where you mean it",
            )
        return f"{current or 'nothing'} to {made or package.version}"

    return Step(
        f"version {package.version} serves",
        pending,
        lambda: _try(machine, _made(machine, package), service),
    )


def _try(machine: Machine, version: str | None, service: Service) -> None:
    """Switch to a version, see it READY, or go back and raise what went wrong.

    Where the service does not run there is nothing to see: the version is only switched to.
    """
    assert version is not None
    with versions.alone(machine) as folder:
        ran_before = service.runs
        if trial.linked(folder, trial.CURRENT) != version or not ran_before:
            trial.go_back(folder)  # of a trial that was cut short
            trial.begin(folder, version)
        if not ran_before:
            trial.confirm(folder)
            return
        try:
            service.restart()
            service.wait()
        except BaseException as error:
            outcome = _gone_back(folder, service)
            if not isinstance(error, DeviceError):
                raise
            raise DeviceError(
                f"{version} did not become READY: {error.message}; {outcome}",
                next_step=error.next_step,
            ) from error
        trial.confirm(folder)


def _gone_back(folder: Path, service: Service) -> str:
    note = trial.go_back(folder)
    if not note or not note["back"]:
        return "there is none to go back to"
    try:
        service.restart()
    except DeviceError as error:
        return f"{note['back']} is current again, and {error.message}"
    return f"{note['back']} serves again"


def prune_step(machine: Machine) -> Step:
    """Versions that are neither current nor previous go; none while one is on trial."""

    def pending() -> str | None:
        names = versions.surplus_versions(machine)
        return f"remove {', '.join(names)}" if names else None

    def do() -> None:
        with versions.alone(machine):
            versions.prune(machine)

    return Step("only the current and the previous version are kept", pending, do)


def _made(machine: Machine, package: Package) -> str:
    name = versions.made_from(machine, package)
    if name is None:
        raise DeviceError("the version was removed meanwhile", next_step="try again")
    return name


def _older(offered: str, running: str) -> bool:
    """By their numbers; a part that is none counts as nothing."""

    def numbers(version: str) -> list[int]:
        return [int(part) for part in version.split("+")[0].split(".") if part.isdigit()]

    return numbers(offered) < numbers(running)
