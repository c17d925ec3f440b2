"""Which module this is: by its EEPROM, as the boot control tells it, and by the device tree.

The device tree's model cannot tell a T4000 from a T5000 nor one memory size from another, and a
carrier's maker may have put another name there; TNSPEC holds the board and SKU of the EEPROM.
"""

from __future__ import annotations

import msgspec

from scanside.jetson.machine import Machine
from scanside.runtime.fingerprint import tnspec_of
from scanside.runtime.platforms import (
    Module,
    board_of,
    boards_in_tree,
    is_of_module,
    module_of_board,
    modules_of_model,
)

_LONGEST = 128


class DeviceModule(msgspec.Struct, frozen=True, kw_only=True):
    """name: of the table of platforms, where exactly one is meant. source: what told it.
    candidates: every name that it may be. board: as 3767-0003, of the EEPROM. model, compatible: of
    the device tree. serial: the module's. disagreeing: the module that the device tree names, if it
    is another one."""

    name: str | None = None
    source: str | None = None
    candidates: tuple[str, ...] = ()
    board: str | None = None
    tnspec: str | None = None
    model: str | None = None
    serial: str | None = None
    compatible: tuple[str, ...] = ()
    disagreeing: str | None = None


def read_module(machine: Machine) -> DeviceModule:
    model = _printable(machine.read("/proc/device-tree/model"))
    tree = machine.read("/proc/device-tree/compatible") or ""
    compatible = tuple(word for one in tree.split("\0") if (word := _printable(one)))
    tnspec = _printable(tnspec_of(machine.read("/etc/nv_boot_control.conf") or ""))
    board = board_of(tnspec or "")
    by_board = module_of_board(board) if board else None
    in_tree = boards_in_tree(" ".join(compatible))
    by_tree = next(filter(None, map(module_of_board, in_tree)), None)
    found, source = by_board, "TNSPEC"
    if board is None:
        found, source = by_tree, "the device tree"
    candidates: tuple[Module, ...] = (found,) if found else ()
    # The model tells no SKUs apart: it counts only where nothing names one that the table lacks.
    if found is None and board is None and not any(map(is_of_module, in_tree)):
        candidates = modules_of_model(model or "")
    return DeviceModule(
        name=found.name if found else None,
        source=source if found else None,
        candidates=tuple(module.name for module in candidates),
        board=board,
        tnspec=tnspec,
        model=model,
        serial=_printable(machine.read("/proc/device-tree/serial-number")),
        compatible=compatible,
        disagreeing=by_tree.name if by_tree and found and by_tree != found else None,
    )


def _printable(text: str | None) -> str | None:
    """What may reach a terminal: firmware has been seen to leave anything behind the name."""
    kept = "".join(c for c in (text or "").split("\0")[0] if c.isprintable() and c != "\ufffd")
    return kept[:_LONGEST].strip() or None
