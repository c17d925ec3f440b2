"""The store of a machine, opened as whoever owns it, and the daemon that serves from it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from scanside.jetson.install.checks import trust_of
from scanside.jetson.layout import CONTROL
from scanside.jetson.machine import Machine
from scanside.runtime.control import Ask, Situation, Swap, command
from scanside.runtime.errors import ServerUnreachableError, StoreError, SwapError
from scanside.runtime.store import Chosen, Store

_ASK_S = 5.0


def open_store(machine: Machine, store: str, *, allow_unsigned: bool = False) -> Store:
    """The store in the folder `store` of a machine. What it makes of folders and locks belongs to
    the folder's owner, though root asks: the daemon is not root, and must be able to lock it.

    Raises StoreError.
    """
    folder = machine.path(store)
    trust = trust_of(machine)
    os.umask(0o022)  # what root adds must be readable by the daemon
    with _as_owner_of(folder):
        return Store(folder, allow_unsigned=allow_unsigned, trust=trust)


def chosen(folder: Path) -> Chosen:
    """What is active in a store, which is not even made by asking. Raises StoreError."""
    try:
        return msgspec.json.decode((folder / "chosen.json").read_bytes(), type=Chosen)
    except (FileNotFoundError, NotADirectoryError):
        return Chosen()
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the store {folder} cannot be read",
            next_step="run it again with sudo, or see docs/store.md",
        ) from error


def daemon_runs(machine: Machine) -> bool:
    """Whether one takes commands at the machine's control socket."""
    return situation(machine) is not None


def situation(machine: Machine) -> Situation | None:
    """How the running daemon stands; None where there is none. Raises TransportError where there is
    one that does not answer: it must not be passed by."""
    if not machine.path(CONTROL).exists():
        return None
    try:
        answer = command(machine.path(CONTROL), Ask(), patience_s=_ASK_S)
    except ServerUnreachableError:
        return None  # the file that a killed one left
    assert isinstance(answer, Situation)
    return answer


def make_active(
    machine: Machine,
    store: str,
    file: Path,
    tested: str,
    *,
    allow_unsigned: bool,
    force: bool,
    told: Callable[[str], object],
) -> None:
    """Make a bundle the active one: by the daemon, where one serves from this store.

    tested: sha256 (hex) that its file must still have.

    Raises what `Store` and the daemon do; the store then holds what it held, and the daemon serves
    what it served.
    """
    place = open_store(machine, store, allow_unsigned=allow_unsigned)
    serving = _serving_from(machine, place.folder)
    installed = place.install(file, force=force)
    if installed.sha256 != tested:
        _discard(place, installed.sha256, installed.added)
        raise StoreError(f"{file.name} was changed after it was tested", next_step="try again")
    if not serving:
        try:
            place.activate(installed.sha256, force=force)
        except BaseException:
            _discard(place, installed.sha256, installed.added)
            raise
        told("nothing serves from the store now: the next start takes it")
        return
    # The daemon may not be able to read `file`, on a stick, say; the store's copy it can.
    copy = place.folder / "bundles" / installed.sha256
    order = Swap(file=str(copy.absolute()), force=force)
    try:
        _command(machine, order, told)
    except BaseException:
        _discard(place, installed.sha256, installed.added)
        raise


def go_back(
    machine: Machine, store: str, *, allow_unsigned: bool, told: Callable[[str], object]
) -> None:
    """Make the previous bundle the active one; as `make_active`."""
    place = open_store(machine, store, allow_unsigned=allow_unsigned)
    if _serving_from(machine, place.folder):
        _command(machine, Swap(rollback=True), told)
    else:
        place.rollback()
        told("nothing serves from the store now: the next start takes it")


def _serving_from(machine: Machine, folder: Path) -> bool:
    now = situation(machine)
    if now is None:
        return False
    if not now.store or Path(now.store).resolve() != folder.resolve():
        raise SwapError(
            f"the running daemon serves {now.store or 'a file'}, not the store {folder}",
            next_step="name its store with --store, or stop it first",
        )
    return True


def _command(machine: Machine, order: Swap, told: Callable[[str], object]) -> None:
    def progress(state: str) -> None:
        told(f"{state} ...")

    command(machine.path(CONTROL), order, progress=progress)


def _discard(place: Store, sha256: str, added: bool) -> None:
    if added:
        with contextlib.suppress(StoreError):
            place.discard(sha256)


@contextlib.contextmanager
def _as_owner_of(folder: Path) -> Iterator[None]:
    """Root acts as the owner of a folder that is there, while the block runs."""
    owner = folder.stat() if os.geteuid() == 0 and folder.is_dir() else None
    if owner is None or owner.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(owner.st_gid)
    try:
        os.seteuid(owner.st_uid)
        try:
            yield
        finally:
            os.seteuid(0)
    finally:
        os.setegid(group)
