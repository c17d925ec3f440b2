"""The command that flashes a profile, from the table; there is no way to add a word to it."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import msgspec

from scanside.jetson.flash.profile import Profile
from scanside.runtime.errors import FlashError
from scanside.runtime.platforms import dotted

_Row = TypeVar("_Row")
_LAYOUT = re.compile(r"[\w./-]+\.xml")


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """l4t: prefixes of releases, modules: prefixes of names. script: in the BSP tree. words: its
    options. uncertain: cells that no page of NVIDIA's was seen to settle for every release."""

    l4t: tuple[str, ...]
    modules: tuple[str, ...]
    storage: str
    script: str
    words: tuple[str, ...]
    root_device: str
    uncertain: tuple[str, ...]
    source: str


class Carrier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """name: p and the id that its EEPROM holds. board: its configuration. super: the one with
    MAXN_SUPER, from an L4T on. uncertain: as a command's."""

    name: str
    modules: tuple[str, ...]
    board: str
    source: str
    uncertain: tuple[str, ...] = ()
    super: str = ""
    super_from: str = ""


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the PC must have, by prefixes of releases."""

    l4t: tuple[str, ...]
    ubuntu: tuple[str, ...]
    packages: tuple[str, ...]
    uncertain: tuple[str, ...]
    source: str


class Keys(msgspec.Struct, frozen=True):
    """Files of a fused board's keys; the second where it is encrypted too."""

    pkc: Path | None = None
    sbk: Path | None = None

    @property
    def words(self) -> tuple[str, ...]:
        pkc = ("-u", str(self.pkc)) if self.pkc else ()
        return (*pkc, *(("-v", str(self.sbk)) if self.sbk else ()))


def command_of(profile: Profile) -> Command:
    """Raises FlashError where the table has none."""
    known: tuple[Command, ...] = rows("commands.json", Command)
    for row in known:
        if (
            _is_of(profile.release, row.l4t)
            and profile.module.startswith(row.modules)
            and profile.storage == row.storage
        ):
            return row
    raise FlashError(
        f"no way is known to put L4T {profile.release} on {profile.module}, {profile.storage}",
        next_step="docs/flash.md lists what is known",
    )


def carrier_of(profile: Profile) -> Carrier | None:
    """None for another maker's. Raises FlashError where carrier and module do not fit."""
    if not profile.carrier:
        return None
    known: tuple[Carrier, ...] = rows("carriers.json", Carrier)
    for row in known:
        if row.name == profile.carrier and profile.module.startswith(row.modules):
            return row
    raise FlashError(
        f"no carrier {profile.carrier!r} is known for {profile.module}",
        next_step="for another maker's, name its configuration as `board`",
    )


def board_of_profile(profile: Profile) -> str:
    """The configuration's name. Raises FlashError where there is none for what is wanted."""
    carrier = carrier_of(profile)
    if carrier is None:
        if profile.super:
            raise FlashError(
                "super is for carriers of the table", next_step="name the board that has it"
            )
        return profile.board
    if not profile.super:
        return carrier.board
    if not carrier.super or dotted(profile.release) < dotted(carrier.super_from):
        raise FlashError(
            f"{carrier.name} has no super configuration in L4T {profile.release}",
            next_step="leave `super` out",
        )
    return carrier.super


def words_of(profile: Profile, keys: Keys, usb_instance: str | None) -> tuple[str, ...]:
    """The whole command line, to be started in the BSP tree."""
    row = command_of(profile)
    instance = ("--usb-instance", usb_instance) if usb_instance else ()
    board = board_of_profile(profile)
    return (f"./{row.script}", *keys.words, *row.words, *instance, board, row.root_device)


def named_files(profile: Profile) -> tuple[str, ...]:
    """Every file of the BSP tree that is needed, by its path in it."""
    row = command_of(profile)
    layouts = (layout for word in row.words for layout in _LAYOUT.findall(word))
    return (
        row.script,
        "flash.sh",
        "nvautoflash.sh",
        "tools/l4t_create_default_user.sh",
        *layouts,
        f"{board_of_profile(profile)}.conf",
    )


def host_of(release: str) -> Host:
    known: tuple[Host, ...] = rows("hosts.json", Host)
    for row in known:
        if _is_of(release, row.l4t):
            return row
    raise FlashError(
        f"what a PC needs for L4T {release} is not known", next_step="see docs/flash.md"
    )


def _is_of(release: str, prefixes: tuple[str, ...]) -> bool:
    return any(release == one or release.startswith(f"{one}.") for one in prefixes)


@lru_cache(maxsize=8)
def rows(name: str, kind: type[_Row]) -> tuple[_Row, ...]:
    raw = files(__package__).joinpath(name).read_bytes()
    return tuple(msgspec.json.decode(raw, type=list[kind]))  # type: ignore[valid-type]
