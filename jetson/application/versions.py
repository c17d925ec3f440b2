"""Versions of the application side by side: a virtual environment each, whole or swept away.

An environment cannot be moved (its scripts name their Python by its path), so it is built in the
place where it stays, under a name that is never used again, and `whole.json` is written last, when
everything else is on the disk. A folder without it is nobody's: what a killed update, or a power
cut, leaves is removed by the next one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from scanside.jetson.application import trial
from scanside.jetson.machine import Machine
from scanside.runtime.errors import DeviceError, PackageError
from scanside.runtime.files import LEFTOVERS, locked, make_folder, remove_files, replace_file

if TYPE_CHECKING:
    from scanside.jetson.package import Package

PYTHON = "/usr/bin/python3"
PIP_S = 900.0
LOCK_S = 60.0
_PART = re.compile(r"\.[0-9a-f]{32}\.part\Z")
_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"
_IMPORTS = "import scanside.runtime.daemon.server, scanside.jetson.steps, numpy, zmq, msgspec"
_QUIET = {
    "PIP_CONFIG_FILE": "/dev/null",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_CACHE_DIR": "1",
    "PIP_NO_INPUT": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished version says of itself. package: sha256 (hex) of the package.json that it was
    made from; wheels: names of the files."""

    version: str
    package: str
    python: str
    wheels: tuple[str, ...]


def package_digest(package: Package) -> str:
    """What tells one package from another of the same version number."""
    return hashlib.sha256((package.folder / "package.json").read_bytes()).hexdigest()


def made_from(machine: Machine, package: Package) -> str | None:
    """Name of the whole version that was made from a package; None where there is none."""
    digest = package_digest(package)
    for name, whole in whole_versions(machine).items():
        if whole.package == digest:
            return name
    return None


def whole_versions(machine: Machine) -> dict[str, Whole]:
    found = {}
    for name in machine.list(str(trial.APPLICATION / trial.VERSIONS)):
        path = folder_of(machine) / trial.VERSIONS / name / trial.WHOLE
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            found[name] = msgspec.json.decode(path.read_bytes(), type=Whole)
    return found


def folder_of(machine: Machine) -> Path:
    return machine.path(str(trial.APPLICATION))


@contextlib.contextmanager
def alone(machine: Machine) -> Iterator[Path]:
    """The application's folder, held by one update at a time; made where it is not there.

    Raises DeviceError where another holds it, and for what the file system refuses.
    """
    folder = folder_of(machine)
    with told():
        make_folder(folder / trial.VERSIONS)
        with locked(folder / trial.LOCK, LOCK_S):
            yield folder


@contextlib.contextmanager
def told() -> Iterator[None]:
    """The file system's errors as ours."""
    try:
        yield
    except TimeoutError as error:
        raise DeviceError(
            "another update is under way", next_step="wait for it, or find it with `ps`"
        ) from error
    except PermissionError as error:
        raise DeviceError(
            f"{error.filename} may not be changed", next_step="run it again with sudo"
        ) from error
    except OSError as error:
        raise DeviceError(
            f"{error.filename or 'the disk'} cannot be read or changed: {error.strerror}",
            next_step="check the disk: `df`, `dmesg`",
        ) from error


def sweep_parts(folder: Path) -> None:
    """Remove what a killed run left half-written in a folder, half a secret key say. Others' hidden
    files stay: the folders of systemd are not ours."""
    for path in folder.glob(LEFTOVERS):
        if _PART.match(path.name):
            path.unlink(missing_ok=True)


def check_fits(machine: Machine, package: Package) -> None:
    """Raises PackageError where a package's wheels are for another Python than this machine's."""
    ran = machine.run(str(machine.path(PYTHON)), "-I", "-c", _VERSION)
    if ran is None or ran.code:
        raise DeviceError(
            f"{PYTHON} does not start here", next_step="apt install python3, or flash again"
        )
    if ran.out.strip() != package.python:
        raise PackageError(
            f"the package is for Python {package.python} (JetPack {package.jetpack}), and "
            f"{PYTHON} is {ran.out.strip()}",
            next_step="take the package of this device's JetPack",
        )


def build_version(machine: Machine, package: Package) -> str:
    """Make an environment from the package's wheels, with nothing from a network; its name.

    Raises DeviceError for what goes wrong, with the tool's own last words; what was made is removed
    then. The caller holds the lock.
    """
    sweep(machine)
    versions = folder_of(machine) / trial.VERSIONS
    name = f"{package.version}-{secrets.token_hex(4)}"
    place = versions / name
    make_folder(place)
    try:
        _fill(machine, package, place)
        _try_out(machine, package, place)
        _sync_tree(place)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    whole = Whole(
        version=package.version,
        package=package_digest(package),
        python=package.python,
        wheels=tuple(sorted(wheel.name for wheel in package.wheels)),
    )
    with replace_file(place / trial.WHOLE) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(whole)) + b"\n")
    return name


def sweep(machine: Machine) -> list[str]:
    """Remove what is not whole, and no link leads to; names. The caller holds the lock."""
    folder = folder_of(machine)
    wanted = {trial.linked(folder, trial.CURRENT), trial.linked(folder, trial.PREVIOUS)}
    whole = whole_versions(machine)
    surplus = [
        name
        for name in machine.list(str(trial.APPLICATION / trial.VERSIONS))
        if name not in whole and name not in wanted
    ]
    _remove(folder / trial.VERSIONS, surplus)
    return surplus


def surplus_versions(machine: Machine) -> list[str]:
    """Versions that are neither current nor previous; none while one is on trial."""
    folder = folder_of(machine)
    if trial.pending(folder) is not None:
        return []
    kept = {trial.linked(folder, trial.CURRENT), trial.linked(folder, trial.PREVIOUS)}
    return [name for name in machine.list(f"{trial.APPLICATION}/versions") if name not in kept]


def prune(machine: Machine) -> list[str]:
    """Remove what is neither current nor previous; names. The caller holds the lock."""
    names = surplus_versions(machine)
    versions = folder_of(machine) / trial.VERSIONS
    # First what makes them whole: one that is half removed must not count as a version.
    remove_files([versions / name / trial.WHOLE for name in names if (versions / name).is_dir()])
    _remove(versions, names)
    return names


def _remove(versions: Path, names: list[str]) -> None:
    for name in names:
        path = versions / name
        if path.is_dir() and not path.is_symlink():
            # A process that was orphaned may still write there: then the next sweep has the rest.
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if names:
        trial.sync_folder(versions)


def _fill(machine: Machine, package: Package, place: Path) -> None:
    """pip comes from the package where it is among the wheels: Ubuntu's Python has none of its own
    without python3-venv."""
    pip = [wheel for wheel in package.wheels if wheel.name.startswith("pip-")]
    without = ["--without-pip"] if pip else []
    make = ["-I", "-m", "venv", "--system-site-packages", *without, str(place)]
    _run(machine, "the environment", machine.path(PYTHON), make)
    wheels = [str(wheel) for wheel in package.wheels if wheel not in pip]
    install = ["install", "--no-index", "--no-deps", "--ignore-installed", "--quiet", *wheels]
    _run(machine, "the wheels", place / "bin" / "python", [*_pip(pip), *install])
    told = machine.run(
        str(place / "bin" / "python"), *_pip(pip), "check", seconds=PIP_S, environment=_QUIET
    )
    ours = {wheel.name.split("-")[0].lower().replace("_", "-") for wheel in package.wheels}
    # The system's own packages may be at odds with each other; that is not ours to refuse.
    odds = [
        line
        for line in (told.out.splitlines() if told else ["pip does not start"])
        if line.split(" ")[0].lower().replace("_", "-") in ours or told is None
    ]
    if odds:
        raise PackageError(
            f"the package's wheels do not fit together: {odds[0]}",
            next_step="make the package again: `make offline-package`",
        )


def _pip(wheels: list[Path]) -> list[str]:
    return ["-I", f"{wheels[0]}/pip"] if wheels else ["-I", "-m", "pip"]


def _try_out(machine: Machine, package: Package, place: Path) -> None:
    """That it starts at all: its version, and what it imports."""
    ran = _run(machine, "the new version", place / "bin" / "scanside", ["--version"])
    if package.version not in ran.split():
        raise PackageError(
            f"the package calls itself {package.version}, and its wheel says {ran.strip()!r}",
            next_step="make the package again: `make offline-package`",
        )
    _run(machine, "the new version", place / "bin" / "python", ["-I", "-c", _IMPORTS])


def _run(machine: Machine, what: str, tool: Path, arguments: list[str]) -> str:
    ran = machine.run(str(tool), *arguments, seconds=PIP_S, environment=_QUIET)
    if ran is None:
        raise DeviceError(
            f"{what} cannot be made: {tool} does not start",
            next_step="check /usr/bin/python3, and whether the disk is mounted noexec",
        )
    if ran.code:
        said = " ".join((ran.error or ran.out).split())[-300:]
        raise DeviceError(
            f"{what} cannot be made: {said or f'{tool.name} ended with {ran.code}'}",
            next_step="see what it says; nothing that runs was changed",
        )
    return ran.out


def _sync_tree(place: Path) -> None:
    """Every file and every folder under `place`, and itself: other processes wrote them."""
    for folder, _, files in os.walk(place, topdown=False):
        for name in files:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                continue  # a link is its name, which the folder's own sync keeps
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        trial.sync_folder(Path(folder))
