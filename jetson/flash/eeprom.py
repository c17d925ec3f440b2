"""What the device says that it is: EEPROM and fuses, by `nvautoflash.sh --print_boardid`.

That script reads over USB and writes nothing; the device starts its recovery anew behind it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from scanside.jetson.flash.child import Ended, run_child
from scanside.jetson.flash.ends import End, failure_of
from scanside.jetson.flash.profile import Profile
from scanside.jetson.flash.recovery import Recovery, recovery_devices
from scanside.jetson.flash.templates import Keys, carrier_of
from scanside.jetson.flash.verdicts import Found, note, ok, refused
from scanside.jetson.machine import Machine
from scanside.runtime.platforms import module_of_board

SCRIPT = ("./nvautoflash.sh", "--print_boardid")
BACK_S = 60.0
STAYS_S = 10.0
"""A device that is still there after that does not start its recovery anew."""
_FIELD = re.compile(r"Parsing (board ID|board SKU|baseboard ID) \(([^)]*)\) succeeded")
_FUSES = re.compile(r"FUSELEVEL=(\w+) hwchipid=\w+ bootauth=(\w+)")
_OPEN = "NS"
_ENCRYPTED = "SBKPKC"
_RIGHT = "is it the right device, and the right profile?"


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """board: as 3767, sku: as 0005, either may be empty. baseboard: the carrier's, where it is
    read. authentication: NS, PKC or SBKPKC, or empty where the script did not say."""

    board: str
    sku: str
    baseboard: str
    authentication: str


def read_board(
    machine: Machine, tree: Path, device: Recovery, keys: Keys, log: IO[bytes]
) -> tuple[Board | None, End | None]:
    """The board, or how the reading failed."""
    words = (*SCRIPT, *keys.words, "--usb-instance", device.instance)
    ended = run_child(tree, words, log)
    board = board_in(ended)
    if ended.code != 0 or board is None:
        return None, failure_of(ended)
    if not _is_back(machine, device):
        lost = Ended(1, ("the device did not come back after its EEPROM was read",), 0)
        return None, failure_of(lost)._replace(name="usb")
    return board, None


def board_in(ended: Ended) -> Board | None:
    text = "\n".join(ended.lines)
    fields = dict(_FIELD.findall(text))
    if "board ID" not in fields:
        return None
    fuses = _FUSES.search(text)
    return Board(
        board=fields["board ID"].strip(),
        sku=fields.get("board SKU", "").strip(),
        baseboard=fields.get("baseboard ID", "").strip(),
        authentication=fuses[2] if fuses else "",
    )


def agree(board: Board, profile: Profile, keys: Keys) -> Iterator[Found]:
    """Is the device what the profile says, and are the keys those that its fuses need."""
    name = f"{board.board}-{board.sku}"
    module = module_of_board(name) if board.sku else None
    if module is None or module.name != profile.module:
        said = module.name if module else "no module that is known here"
        yield refused("EEPROM", f"it is {name}, {said}; the profile is {profile.module}", _RIGHT)
    else:
        yield ok("EEPROM", f"{name} is {module.title}")
    carrier = carrier_of(profile)
    if board.baseboard and carrier and f"p{board.baseboard}" != carrier.name:
        yield refused(
            "carrier", f"it is p{board.baseboard}, the profile says {carrier.name}", _RIGHT
        )
    elif not board.baseboard:
        yield note("carrier", "its EEPROM is not read on this board: look at the print on it")
    yield _fuses(board, keys)


def _fuses(board: Board, keys: Keys) -> Found:
    what = "fuses"
    if not board.authentication:
        return refused(what, "the script does not tell whether it is fused", "see the log")
    if board.authentication == _OPEN:
        if keys.pkc:
            return refused(what, "it is not fused, and keys were named", "leave them out")
        return ok(what, "not fused")
    if not keys.pkc or (board.authentication == _ENCRYPTED) != bool(keys.sbk):
        wanted = "--pkc-key and --sbk-key" if board.authentication == _ENCRYPTED else "--pkc-key"
        return refused(
            what,
            f"it is fused ({board.authentication}), and the keys named are not those it needs",
            f"name {wanted}; without them it cannot be flashed",
        )
    return ok(what, f"fused ({board.authentication}), keys are named")


def _is_back(machine: Machine, device: Recovery) -> bool:
    """It may still be there for a moment, about to go: only a new connection counts at once."""
    began = time.monotonic()
    while True:
        waited = time.monotonic() - began
        for one in recovery_devices(machine):
            same = (one.instance, one.identity) == (device.instance, device.identity)
            if same and (one.session != device.session or waited > STAYS_S):
                return True
        if waited > BACK_S:
            return False
        time.sleep(0.2)
