"""What a device is to become: module, carrier, release, storage and first user, in a small file.

A profile holds no secret, and no word of it reaches a command but through a table or a pattern.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec

from scanside.runtime.errors import FlashError
from scanside.runtime.platforms import Module, dotted, find_target, modules, release_of

LARGEST = 1 << 16
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_BOARD = re.compile(r"[a-z0-9][a-z0-9+._-]{0,79}")
_L4T = re.compile(r"\d{2}\.\d+\.\d+")
_TAKEN = frozenset({"nvidia", "root", "ubuntu", "admin", "scanside"})
STEPPING_STONE = (35, 5, 0)
"""Where a device of JetPack 5 must have been before JetPack 6: facts of NVIDIA's own updates."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """module: of `scanside targets`. carrier: of carriers.json, or empty for another maker's; then
    `board` names the configuration that its maker put into the BSP. release: L4T, as 36.4.3. super:
    the configuration that has MAXN_SUPER, for a carrier that is cooled for it. user, hostname: of
    the first boot; the password is made for each device."""

    module: str
    release: str
    storage: Literal["nvme", "emmc"]
    user: str
    hostname: str
    carrier: str = ""
    board: str = ""
    super: bool = False

    @property
    def its_module(self) -> Module:
        return modules()[self.module]


def load_profile(path: Path) -> Profile:
    """Raises FlashError for a file that is no profile, has a key that profiles do not have (an
    option, ODMDATA, a password ...), or wants what is not supported."""
    try:
        if path.stat().st_size > LARGEST:
            raise FlashError(f"{path.name} is too large for a profile", next_step=_SEE)
        profile = msgspec.json.decode(path.read_bytes(), type=Profile)
    except OSError as error:
        raise FlashError(f"{path.name} cannot be read: {error.strerror}", next_step=_SEE) from error
    except msgspec.MsgspecError as error:
        raise FlashError(f"{path.name} is no profile: {error}", next_step=_SEE) from error
    _check(profile)
    return profile


_SEE = "docs/flash.md shows a profile; what it does not name cannot be set"


def _check(profile: Profile) -> None:
    module = modules().get(profile.module)
    if module is None:
        raise FlashError(
            f"there is no module {profile.module!r}", next_step="`scanside targets` lists them"
        )
    if module.refused:
        raise FlashError(f"{module.title} is not supported: {module.refused}", next_step=_SEE)
    if not _L4T.fullmatch(profile.release):
        raise FlashError(
            f"the release {profile.release!r} is no L4T", next_step="write it as 36.4.3"
        )
    release = release_of(profile.release)
    if release is None:
        raise FlashError(f"L4T {profile.release} is not known here", next_step=_SEE)
    if dotted(profile.release)[0] != STEPPING_STONE[0]:
        find_target(f"{profile.module}-jp{release.jetpack}")
    elif dotted(profile.release) < STEPPING_STONE:
        raise FlashError(
            f"L4T {profile.release} is older than 35.5.0",
            next_step="35.5.0 or later leads to JetPack 6",
        )
    for what, name in (("user", profile.user), ("hostname", profile.hostname)):
        if not _NAME.fullmatch(name) or (what == "user" and name in _TAKEN):
            raise FlashError(
                f"the {what} {name!r} cannot be taken",
                next_step=f"small letters, digits and -, and none of {', '.join(sorted(_TAKEN))}",
            )
    if bool(profile.carrier) == bool(profile.board):
        raise FlashError("name either a carrier or a board", next_step=_SEE)
    if profile.board and not _BOARD.fullmatch(profile.board):
        raise FlashError(f"{profile.board!r} is no name of a configuration", next_step=_SEE)


def check_installed(profile: Profile, installed: str) -> None:
    """installed: the L4T that the device has now, or "blank". Recovery mode does not tell it.

    Raises FlashError for a downgrade, and for JetPack 5 to 6 past 35.5.0.
    """
    if installed == "blank":
        return
    if not _L4T.fullmatch(installed):
        raise FlashError(
            f"{installed!r} is neither an L4T, as 36.4.3, nor 'blank'",
            next_step="`cat /etc/nv_tegra_release` on the device tells it",
        )
    now, wanted = dotted(installed), dotted(profile.release)
    if wanted < now:
        raise FlashError(
            f"from L4T {installed} to {profile.release} is a downgrade",
            next_step="firmware may refuse to go back: take the same release or a later one",
        )
    if now < STEPPING_STONE and wanted >= (36,):
        raise FlashError(
            f"from L4T {installed} to {profile.release} leads through 35.5.0 or later",
            next_step="flash 35.5.0 or later first, with a profile of its own, and start it once",
        )
