"""The table of Jetson platforms: which module with which JetPack, and why one is not supported.

The rows are data (modules.json, releases.json), collected from NVIDIA's public pages in November
2026; no Jetson was touched. A target is a module with a release that runs on it, as
`orin-nx-16gb-jp6.2`.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from importlib.resources import files
from typing import TypeVar

import msgspec

from scanside.runtime.errors import TargetError

_Row = TypeVar("_Row")


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A JetPack. l4t: prefixes of the versions that belong to it. families: of modules it runs on.
    tensorrt: major.minor.patch. refused: why it is not supported, or empty. source: of the row."""

    jetpack: str
    l4t: tuple[str, ...]
    python: str
    cuda: str
    tensorrt: str
    families: tuple[str, ...]
    refused: str
    source: str


class Module(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """memory_gb: shared by CPU and GPU."""

    name: str
    title: str
    family: str
    compute_capability: str
    memory_gb: int
    refused: str
    source: str


class Target(msgspec.Struct, frozen=True):
    module: Module
    release: Release

    @property
    def name(self) -> str:
        return f"{self.module.name}-jp{self.release.jetpack}"

    @property
    def refused(self) -> str:
        """Why nothing can be compiled for it, or empty."""
        return self.module.refused or self.release.refused


@lru_cache(maxsize=1)
def targets() -> dict[str, Target]:
    """Every module with every release for it, by name, those that are refused included."""
    modules = _rows("modules.json", Module)
    releases = _rows("releases.json", Release)
    pairs = [
        Target(module, release)
        for module in modules
        for release in releases
        if module.family in release.families
    ]
    return {target.name: target for target in pairs}


def find_target(name: str) -> Target:
    """Raises TargetError for a name that is not in the table, and for a platform that is not
    supported, saying why."""
    for module in _rows("modules.json", Module):
        if module.refused and name.startswith(module.name):
            raise TargetError(f"{module.title} is not supported: {module.refused}")
    target = targets().get(name)
    if target is None:
        near = difflib.get_close_matches(name, targets(), n=1, cutoff=0)
        raise TargetError(
            f"there is no target {name!r}; the nearest is {near[0]!r}",
            next_step="`scanside targets` lists them",
        )
    if target.refused:
        raise TargetError(f"{target.name} is not supported: {target.refused}")
    return target


def release_of(l4t: str) -> Release | None:
    """The release that a version of L4T (36.4.3) belongs to, refused ones too."""
    releases: tuple[Release, ...] = _rows("releases.json", Release)
    for release in releases:
        if any(l4t == prefix or l4t.startswith(f"{prefix}.") for prefix in release.l4t):
            return release
    return None


@lru_cache(maxsize=2)
def _rows(name: str, kind: type[_Row]) -> tuple[_Row, ...]:
    raw = files(__package__).joinpath(name).read_bytes()
    return tuple(msgspec.json.decode(raw, type=list[kind]))  # type: ignore[valid-type]
