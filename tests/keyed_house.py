"""A daemon with CURVE keys, and those who knock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from daemons import SOON_S, AddOne, loader, running
from scanside.runtime import Client
from scanside.runtime.control import Reload, command
from scanside.runtime.errors import HandshakeError
from scanside.runtime.inquiry import ask_status
from wire_keys import make_client_keys, make_daemon_keys

AT_ONCE_S = 25.0
"""Far less than the timeout of a client that is told nothing."""


class House:
    """A daemon's folder of keys that knows one client, and that client's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemon = make_daemon_keys(folder / "daemon")
        self.client = make_client_keys(folder / "known", self.daemon, known_as="known")
        self.list = self.daemon / "clients"
        self.control = folder / "control"

    def stranger(self, name: str = "stranger") -> Path:
        return make_client_keys(self.folder / name, self.daemon)

    def reload(self) -> str:
        return command(self.control, Reload()).text  # type: ignore[union-attr]

    @contextmanager
    def serving(self, engine: Any = None, bind: str = "tcp://127.0.0.1:*") -> Iterator[str]:
        ready = threading.Event()
        with running(
            *(loader(engine or AddOne()), bind),
            on_ready=lambda *_: ready.set(),
            control_file=self.control,
            keys=self.daemon,
        ) as daemon:
            assert ready.wait(SOON_S)
            yield daemon.url


@contextmanager
def told_at_once(match: str, kind: type[Exception] = HandshakeError) -> Iterator[None]:
    began = time.monotonic()
    with pytest.raises(kind, match=match) as raised:
        yield
    assert time.monotonic() - began < AT_ONCE_S
    assert getattr(raised.value, "next_step", "")


def ask_in_both_ways(url: str, keys: Path | None, match: str) -> None:
    with told_at_once(match):
        Client(url, keys=keys, timeout=2 * AT_ONCE_S)
    with told_at_once(match):
        ask_status(url, 2 * AT_ONCE_S, keys)


def unlist(house: House) -> None:
    (house.list / "known.pub").unlink()
