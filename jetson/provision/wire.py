"""Keys of the wire: the daemon's own pair is made on the device and never leaves it."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from scanside.jetson.application.versions import sweep_parts, told
from scanside.jetson.layout import USER, WIRE_KEYS
from scanside.jetson.machine import Machine
from scanside.jetson.provision.folders import WIRE_CLIENTS
from scanside.jetson.provision.places import Place, file_step
from scanside.jetson.steps import Step
from scanside.runtime.curve import PUBLIC, SECRET, SERVER, key_id, load_public, new_pair
from scanside.runtime.errors import DeviceError
from scanside.runtime.files import remove_files

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\.pub\Z")
SERVER_SECRET = Place(f"{WIRE_KEYS}/{SERVER}{SECRET}", 0o600, USER, USER)


def wire_steps(machine: Machine, wanted: bool, clients: tuple[Path, ...]) -> list[Step]:
    """Raises DeviceError for a client's name that is taken by another key, KeyFileError for what is
    no public key."""
    steps = [_client(machine, file) for file in clients]
    if wanted or clients:
        steps.insert(0, _server(machine))
    return steps


def has_clients(machine: Machine) -> bool:
    return any(name.endswith(PUBLIC) for name in machine.list(WIRE_CLIENTS))


def server_id(machine: Machine) -> str:
    """Id of the daemon's key; empty where it has none."""
    file = machine.path(f"{WIRE_KEYS}/{SERVER}{PUBLIC}")
    return key_id(load_public(file)) if file.exists() else ""


def _server(machine: Machine) -> Step:
    secret = machine.path(SERVER_SECRET.name)
    public = secret.with_suffix(PUBLIC)

    def pending() -> str | None:
        if public.exists() and not secret.exists():
            raise DeviceError(
                f"{WIRE_KEYS} has {public.name} without its {secret.name}: clients expect a daemon "
                "that nobody can be any more",
                next_step=f"put {secret.name} back; or remove {public.name}, run this again, and "
                "give clients the new one",
            )
        if secret.exists() and not public.exists():
            return "make it anew: its public half was never written"
        return SERVER_SECRET.wrong(machine, stat.S_ISREG)

    def do() -> None:
        with told():
            sweep_parts(secret.parent)
            if not public.exists():
                remove_files([secret])  # what was cut short: nobody can know it
                new_pair(secret)
            descriptor = os.open(secret, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                SERVER_SECRET.grant(machine, descriptor)
            finally:
                os.close(descriptor)

    return Step("the daemon's key of the wire", pending, do)


def _client(machine: Machine, file: Path) -> Step:
    key = load_public(file)
    if not _NAME.match(file.name):
        raise DeviceError(
            f"{file.name} cannot be a client's name", next_step="call it NAME.pub, plain letters"
        )
    place = Place(f"{WIRE_CLIENTS}/{file.name}", 0o644)
    there = machine.path(place.name)
    if there.exists() and load_public(there) != key:
        raise DeviceError(
            f"{file.name} is another client's key on this device",
            next_step=f"give it another name, or remove {place.name}",
        )
    title = f"client {file.stem} may come in ({key_id(key)[:16]})"
    text = (there if there.exists() else file).read_text()
    return file_step(machine, place, text, title)
