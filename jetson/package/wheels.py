"""Choosing the device's wheels: which distributions, in which pinned version, for which Python.

pip evaluates markers for the Python that runs it, not for the one that it downloads for; so the
markers are evaluated here, and pip is only asked for one exact version of each.
"""

from __future__ import annotations

import email
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from scanside.runtime.errors import PackageError
from scanside.runtime.platforms import Release

COMPILED = ("pycuda",)
"""No wheels for aarch64 anywhere: compiled once per JetPack on a builder."""
OPTIONAL = ("cuda-bindings",)
ALWAYS = ("onnxruntime", "pip")
"""Beside Scanside's own requirements: the CPU engine, and pip, which Ubuntu's Python may lack."""
_OLDEST_GLIBC, _GLIBC = 17, {"22.04": 35, "24.04": 39}


@dataclass(frozen=True)
class Target:
    """What wheels are chosen for. python: "3.10". glibc: minor of glibc 2."""

    python: str
    glibc: int

    @classmethod
    def of(cls, release: Release, python: str = "") -> Target:
        """python: another than the release's, for a rehearsal."""
        return cls(python or release.python, _GLIBC[release.ubuntu])

    @property
    def platforms(self) -> list[str]:
        old = ["manylinux2014_aarch64"]
        return [f"manylinux_2_{n}_aarch64" for n in range(self.glibc, _OLDEST_GLIBC - 1, -1)] + old

    @property
    def abis(self) -> list[str]:
        return [f"cp{self.python.replace('.', '')}", "abi3", "none"]

    def wants(self, requirement: Requirement) -> bool:
        """Whether a requirement holds on the device."""
        if requirement.marker is None:
            return True
        return requirement.marker.evaluate(
            {
                "extra": "",
                "implementation_name": "cpython",
                "os_name": "posix",
                "platform_machine": "aarch64",
                "platform_python_implementation": "CPython",
                "platform_system": "Linux",
                "python_full_version": f"{self.python}.0",
                "python_version": self.python,
                "sys_platform": "linux",
            }
        )

    def runs(self, tags: Iterable[Tag]) -> bool:
        """Whether a wheel with these tags can be installed on the device."""
        minor = int(self.python.split(".")[1])
        stable = {f"cp3{n}" for n in range(2, minor + 1)}
        exact = f"cp3{minor}"
        pure = {"py3", exact, f"py3{minor}"}
        places = {*self.platforms, "linux_aarch64"}
        return any(
            (tag.platform in places and (tag.interpreter, tag.abi) == (exact, exact))
            or (tag.platform in places and tag.abi == "abi3" and tag.interpreter in stable)
            or (tag.platform in {*places, "any"} and tag.abi == "none" and tag.interpreter in pure)
            for tag in tags
        )


def pins(release: Release, constraints: Path, target: Target) -> dict[str, str]:
    """Version by canonical name: the release's own pins before those of constraints.txt."""
    own = files("scanside.jetson.package") / f"pins-{release.jetpack.split('.')[0]}.txt"
    found: dict[str, str] = {}
    for text in (own.read_text(), constraints.read_text()):
        mine: dict[str, str] = {}
        for line in text.splitlines():
            words = line.split("#")[0].strip()
            if words and target.wants(requirement := Requirement(words)):
                version = str(requirement.specifier).removeprefix("==")
                mine[canonicalize_name(requirement.name)] = version
        found = {**mine, **found}
    if release.numpy_below and not SpecifierSet(f"<{release.numpy_below}").contains(found["numpy"]):
        raise PackageError(
            f"JetPack {release.jetpack} needs NumPy below {release.numpy_below}, and "
            f"{found['numpy']} is pinned",
            next_step=f"pin it in jetson/package/{own.name}",
        )
    return found


def distribution(wheel: Path) -> str:
    """Canonical name of a wheel's distribution. Raises PackageError for what is no wheel."""
    try:
        return parse_wheel_filename(wheel.name)[0]
    except InvalidWheelFilename as error:
        raise PackageError(f"{wheel.name} is not a wheel's name") from error


def insist_that_it_fits(wheel: Path, target: Target, pinned: Mapping[str, str]) -> None:
    """Raises PackageError for a wheel of another Python or processor, or of another version than
    the pinned one."""
    name = distribution(wheel)
    _, version, _, tags = parse_wheel_filename(wheel.name)
    wanted = pinned.get(name, str(version))
    if not target.runs(tags):
        raise PackageError(
            f"the wheel {wheel.name} is not for Python {target.python} on aarch64",
            next_step=f"on a device with this JetPack: pip wheel --no-deps {name}=={wanted}",
        )
    if version != Version(wanted):
        raise PackageError(
            f"the wheel {wheel.name} is not version {wanted}, which is pinned",
            next_step=f"take it away, or on a device: pip wheel --no-deps {name}=={wanted}",
        )


def needs(wheel: Path, target: Target, pinned: Mapping[str, str]) -> list[str]:
    """Canonical names of what a wheel needs on the device, extras aside.

    Raises PackageError where a pinned version is not one that the wheel takes, it takes another
    Python, or it is no whole wheel.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            [inside] = [
                name
                for name in archive.namelist()
                if name.endswith(".dist-info/METADATA") and name.count("/") == 1
            ]
            metadata = email.message_from_bytes(archive.read(inside))
    except (zipfile.BadZipFile, ValueError) as error:
        raise PackageError(f"{wheel.name} is no whole wheel", next_step="copy it again") from error
    python = metadata.get("Requires-Python", "")
    if python and not SpecifierSet(python).contains(f"{target.python}.99"):
        raise PackageError(f"{wheel.name} needs Python {python}, the device has {target.python}")
    names: list[str] = []
    for text in metadata.get_all("Requires-Dist") or []:
        requirement = Requirement(text)
        if not target.wants(requirement):
            continue
        name = canonicalize_name(requirement.name)
        version = pinned.get(name)
        if version is None:
            raise PackageError(
                f"{wheel.name} needs {requirement.name}, which is pinned nowhere",
                next_step="pin it in constraints.txt, or in jetson/package/pins-*.txt",
            )
        if not requirement.specifier.contains(version, prereleases=True):
            raise PackageError(
                f"{wheel.name} needs {requirement}, and {version} is pinned",
                next_step="pin versions that go together",
            )
        names.append(name)
    return names
