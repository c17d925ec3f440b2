"""Debian packages: L4T's own, which must be of one version and held, TensorRT's and cuDNN's."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from scanside.jetson.machine import Machine

L4T = "nvidia-l4t-*"
_FORMAT = "${db:Status-Abbrev}\t${Package}\t${Version}\n"
_ASKED = (L4T, "libnvinfer*", "python3-libnvinfer", "libcudnn*", "cuda-nvcc-*")
# The kernel's packages carry the kernel's version before L4T's: 5.15.148-tegra-36.4.3-2025...
_L4T_PART = re.compile(r"(?:^|-)(\d+(?:\.\d+)+)-\d{8,}")
_LIBRARY = re.compile(r"libnvinfer\d+$")
# dpkg's second letter: not there, or its settings alone; whole, but for what it triggers elsewhere.
_ABSENT, _WHOLE = ("", "n", "c"), ("i", "t", "W")
_CUDNN = re.compile(r"libcudnn\d+(-cuda-\d+)?$")


class Packages(msgspec.Struct, frozen=True, kw_only=True):
    """asked: whether dpkg answered. l4t: each installed package's L4T, as 36.4.3, or None where its
    version tells none. loose: packages of L4T that an upgrade may replace: they are not held.
    torn: packages that were not installed to their end, after a power cut or a failed script.
    tensorrt, bindings, cudnn: whole versions of the library, python3-libnvinfer and cuDNN."""

    asked: bool = False
    l4t: Mapping[str, str | None] = {}
    loose: tuple[str, ...] = ()
    torn: tuple[str, ...] = ()
    tensorrt: str | None = None
    bindings: str | None = None
    cudnn: str | None = None

    @property
    def l4t_versions(self) -> Mapping[str, tuple[str, ...]]:
        """Version -> the packages that are of it."""
        versions: dict[str, list[str]] = {}
        for name, version in self.l4t.items():
            if version:
                versions.setdefault(version, []).append(name)
        return {version: tuple(names) for version, names in sorted(versions.items())}


def read_packages(machine: Machine) -> Packages:
    ran = machine.run("dpkg-query", "-W", "-f", _FORMAT, *_ASKED)
    # It ends with 1 where one of the patterns fits nothing, and tells the rest all the same.
    if ran is None or ran.code not in (0, 1):
        return Packages()
    l4t: dict[str, str | None] = {}
    loose: list[str] = []
    torn: list[str] = []
    libraries: dict[str, str] = {}
    for line in ran.out.splitlines():
        state, _, rest = line.partition("\t")
        name, _, version = rest.partition("\t")
        if state[1:2] in _ABSENT or not version:
            continue
        if state[1:2] not in _WHOLE or state[2:3] == "R":
            torn.append(name)
        if name.startswith("nvidia-l4t-"):
            found = _L4T_PART.search(version)
            l4t[name] = found[1] if found else None
            if state[0] != "h":
                loose.append(name)
        else:
            libraries[name] = version
    return Packages(
        asked=True,
        l4t=l4t,
        loose=tuple(loose),
        torn=tuple(torn),
        tensorrt=_of(_LIBRARY, libraries),
        bindings=libraries.get("python3-libnvinfer"),
        cudnn=_of(_CUDNN, libraries),
    )


def _of(pattern: re.Pattern[str], versions: Mapping[str, str]) -> str | None:
    return next((version for name, version in versions.items() if pattern.match(name)), None)
