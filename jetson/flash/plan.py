"""What would be done to which device, and everything that speaks against it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import msgspec

from scanside.jetson.flash.eeprom import agree, read_board
from scanside.jetson.flash.host import look_at_host
from scanside.jetson.flash.profile import Profile, check_installed
from scanside.jetson.flash.recovery import Recovery, choose, recovery_devices
from scanside.jetson.flash.sums import look_at_sums
from scanside.jetson.flash.templates import (
    Carrier,
    Keys,
    board_of_profile,
    carrier_of,
    command_of,
    words_of,
)
from scanside.jetson.flash.tree import look_at_tree
from scanside.jetson.flash.usb_errors import look_at_last_error, remember
from scanside.jetson.flash.verdicts import Found, Verdict, note, ok, refused
from scanside.jetson.machine import Machine
from scanside.runtime.errors import FlashError
from scanside.runtime.files import locked


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for. state: folder of logs and of what is remembered. installed: L4T that
    the device has now, or "blank"; None where only the PC and the tree are looked at."""

    machine: Machine
    tree: Path
    profile: Profile
    state: Path
    tarballs: Path
    sums: Path | None = None
    usb_instance: str | None = None
    installed: str | None = None
    keys: Keys = Keys()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """found: every check. words: the command, where there is one. device: which it is for."""

    found: tuple[Found, ...]
    words: tuple[str, ...] = ()
    device: Recovery | None = None

    @property
    def refused(self) -> bool:
        return any(one.verdict is Verdict.REFUSED for one in self.found)


def look(order: Order) -> Plan:
    """By files alone: no script of the BSP is started, and nothing is said to the device."""
    found: list[Found] = []
    profile = order.profile
    device = None
    words: tuple[str, ...] = ()
    try:
        row = command_of(profile)
        board = board_of_profile(profile)
        carrier = carrier_of(profile)
        for what, entry in (("command", row), ("carrier", carrier)):
            if entry is not None and entry.uncertain:
                uncertain = f"uncertain for this release: {', '.join(entry.uncertain)}"
                found.append(note(what, uncertain, entry.source))
        if carrier is None:
            found.append(note("carrier", f"{board} is not NVIDIA's: its maker answers for it"))
        elif profile.super:
            found.append(_cooled(carrier))
        found += look_at_tree(order.tree, profile)
        found += look_at_sums(order.tree, profile.release, order.sums, order.tarballs)
        found += look_at_host(order.machine, profile.release)
        found += _keys(order.keys)
        if order.installed is not None:
            check_installed(profile, order.installed)
            found.append(ok("release", f"from {order.installed} to {profile.release}"))
        device, told = choose(recovery_devices(order.machine), profile, order.usb_instance)
        found.append(told)
        if device is not None:
            words = words_of(profile, order.keys, device.instance)
            last = look_at_last_error(order.state, device)
            found += [last] if last else []
    except FlashError as error:
        found.append(refused("order", error.message, error.next_step))
    return Plan(found=tuple(found), words=words, device=device)


def plan(order: Order, log: IO[bytes]) -> Plan:
    """`look`, and where nothing speaks against it the device's EEPROM, which is only read."""
    looked = look(order)
    if looked.refused or looked.device is None:
        return looked
    board, failure = read_board(order.machine, order.tree, looked.device, order.keys, log)
    if failure is not None or board is None:
        assert failure is not None
        # The ECID can be read once per start of the recovery: this connection is spent.
        remember(order.state, device_now(order, looked.device), failure.said)
        unread = refused("EEPROM", f"it cannot be read: {failure.said}", failure.next_step)
        return Plan(found=(*looked.found, unread), words=looked.words, device=looked.device)
    found = (*looked.found, *agree(board, order.profile, order.keys))
    return Plan(found=found, words=looked.words, device=device_now(order, looked.device))


@contextmanager
def alone(tree: Path) -> Iterator[None]:
    """NVIDIA's scripts write into the tree, the one that reads the EEPROM too: one at a time.

    Raises FlashError where another is at work, or there is no such folder.
    """
    if not tree.is_dir():
        raise FlashError(f"{tree} is no folder", next_step="name Linux_for_Tegra with --bsp")
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(tree / ".scanside-flash.lock", 0))
        except TimeoutError as error:
            raise FlashError(
                "another flash goes on", next_step="one at a time: they share the BSP tree"
            ) from error
        yield


def device_now(order: Order, device: Recovery) -> Recovery:
    """The same device as it is connected now; as it was, where it is gone."""
    for one in recovery_devices(order.machine):
        if one.instance == device.instance:
            return one
    return device


def _cooled(carrier: Carrier) -> Found:
    return note(
        "power modes", f"{carrier.super} has MAXN_SUPER, which a carrier must be cooled for"
    )


def _keys(keys: Keys) -> list[Found]:
    if keys.sbk and not keys.pkc:
        return [refused("keys", "--sbk-key without --pkc-key", "name both")]
    for file in (keys.pkc, keys.sbk):
        if file is None:
            continue
        if not file.is_file():
            return [refused("keys", f"{file.name} is no file", "name the key's file")]
        if file.stat().st_mode & 0o077:
            return [refused("keys", f"{file.name} is readable by others", f"chmod 600 {file}")]
    return []
