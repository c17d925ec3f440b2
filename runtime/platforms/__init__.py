"""The table of Jetson platforms: which module with which JetPack, and why one is not supported.

The rows are data (families.json, modules.json, releases.json), collected from NVIDIA's public pages
and public repositories in November 2026; no Jetson was touched. Cells that no page or file of
NVIDIA's, nor what a device printed, was seen to settle are named in their row's `uncertain`: they
are shown, and a device that differs from one is told so, but is not refused for it. A target is a
module with a release that runs on it, as `orin-nx-16gb-jp6.2`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Literal, TypeVar

import msgspec

from scanside.runtime.errors import TargetError

_Row = TypeVar("_Row")
_BOARD = re.compile(r"(\d{4})-[^-]*-(\d{4})(?:-|$)")
_BOARD_IN_TREE = re.compile(r"p(\d{4})-(\d{4})(?!\d)")
_CARRIERS = ("p3768-", "p3737-", "p4071-", "p3971-", "p3509-", "p2822-", "p3449-")

Use = Literal["default", "allowed", "opt-in"]


class Also(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another TensorRT that a release may carry, from an L4T on, on some modules."""

    tensorrt: str
    from_l4t: str
    modules: tuple[str, ...]


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A JetPack. l4t: prefixes of the versions that belong to it. points: JetPack's own number of
    versions of L4T that are known. families: of modules it runs on. tensorrt: major.minor.patch.
    numpy_below: what TensorRT's bindings need, or empty. uncertain: which of these were never
    settled. refused: why it is not supported, or empty. source: of the row."""

    jetpack: str
    l4t: tuple[str, ...]
    points: Mapping[str, str]
    ubuntu: str
    python: str
    cuda: str
    cudnn: str
    tensorrt: str
    also: tuple[Also, ...] = ()
    families: tuple[str, ...]
    numpy_below: str = ""
    uncertain: tuple[str, ...]
    refused: str
    source: str

    def tensorrts(self, l4t: str, module: str) -> tuple[str, ...]:
        """Every TensorRT that it may have on a module, with an L4T of its own."""
        more = (
            one.tensorrt
            for one in self.also
            if module in one.modules and dotted(l4t) >= dotted(one.from_l4t)
        )
        return (self.tensorrt, *more)


class Module(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """memory_gb: shared by CPU and GPU. dla: deep learning accelerators, which nothing here uses.

    boards: as 3767-0003, board and SKU of its EEPROM, or a board alone. model: words of the device
    tree's model. recovery_usb: what `lsusb` shows in recovery mode; two modules may share one.
    power: modes by name; the default one is there however the module was flashed. without: releases
    that do not know it, though they know its family. carriers: what depends on the carrier board.
    """

    name: str
    title: str
    family: str
    compute_capability: str
    memory_gb: int
    dla: int
    boards: tuple[str, ...]
    model: str
    recovery_usb: tuple[str, ...]
    power: Mapping[str, Use]
    without: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    carriers: tuple[str, ...] = ()
    uncertain: tuple[str, ...]
    refused: str
    source: str


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """nodes: patterns of the device nodes without which CUDA does not start."""

    name: str
    title: str
    nodes: tuple[str, ...]
    uncertain: tuple[str, ...]
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

    @property
    def uncertain(self) -> tuple[str, ...]:
        """Which cells of its two rows were never settled."""
        return tuple(sorted({*self.module.uncertain, *self.release.uncertain}))


def modules() -> dict[str, Module]:
    """By name, those that are refused included."""
    return {module.name: module for module in _rows("modules.json", Module)}


def releases() -> dict[str, Release]:
    """By JetPack's number, those that are refused included."""
    return {release.jetpack: release for release in _rows("releases.json", Release)}


def families() -> dict[str, Family]:
    return {family.name: family for family in _rows("families.json", Family)}


@lru_cache(maxsize=1)
def targets() -> dict[str, Target]:
    """Every module with every release for it, by name, those that are refused included."""
    pairs = [
        Target(module, release)
        for module in modules().values()
        for release in releases().values()
        if module.family in release.families and release.jetpack not in module.without
    ]
    return {target.name: target for target in pairs}


def find_target(name: str) -> Target:
    """Raises TargetError for a name that is not in the table, and for a platform that is not
    supported, saying why."""
    for module in modules().values():
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
    for release in releases().values():
        if any(l4t == prefix or l4t.startswith(f"{prefix}.") for prefix in release.l4t):
            return release
    return None


def board_of(tnspec: str) -> str | None:
    """Board and SKU, as 3767-0005, of a TNSPEC (3767-300-0005-M.1-1-1-jetson-orin-nano-devkit-)."""
    found = _BOARD.match(tnspec)
    return f"{found[1]}-{found[2]}" if found else None


def boards_in_tree(compatible: str) -> tuple[str, ...]:
    """Boards of a device tree's `compatible` (nvidia,p3768-0000+p3767-0005), without carriers."""
    return tuple(
        dict.fromkeys(
            f"{found[1]}-{found[2]}"
            for found in _BOARD_IN_TREE.finditer(compatible)
            if not found[0].startswith(_CARRIERS)
        )
    )


def module_of_board(board: str) -> Module | None:
    """The module of a board and SKU (3767-0003)."""
    for module in modules().values():
        if board in module.boards or board.partition("-")[0] in module.boards:
            return module
    return None


def is_of_module(board: str) -> bool:
    """Whether a board (3767-0099) is a module's, of whatever SKU, and no carrier."""
    known = {one.partition("-")[0] for module in modules().values() for one in module.boards}
    return board.partition("-")[0] in known


def modules_of_model(model: str) -> tuple[Module, ...]:
    """Every module that a device tree's model may mean: it does not tell SKUs apart."""
    return tuple(module for module in modules().values() if module.model in model)


def modules_of_usb(identity: str) -> tuple[Module, ...]:
    """Every module that shows itself so in recovery mode (0955:7323)."""
    return tuple(module for module in modules().values() if identity.lower() in module.recovery_usb)


def plain_mode(name: str) -> str:
    """A power mode's name as the table has it: AGX Orin calls its own MODE_30W."""
    return name.removeprefix("MODE_")


def dotted(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, to be compared: 10.3.0.30-1+cuda12.5 is (10, 3, 0, 30)."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


@lru_cache(maxsize=3)
def _rows(name: str, kind: type[_Row]) -> tuple[_Row, ...]:
    raw = files(__package__).joinpath(name).read_bytes()
    return tuple(msgspec.json.decode(raw, type=list[kind]))  # type: ignore[valid-type]
