"""What systemd hears: held against a socket of its kind."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemons import SOON_S, AddOne, Gate, Peer, loader, running
from scanside.runtime.daemon.notify import Notifier
from scanside.runtime.errors import GoldenMismatchError

WATCHDOG_S = 0.2


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.environment = {
            "NOTIFY_SOCKET": str(path),
            "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
            "WATCHDOG_PID": str(os.getpid()),
        }

    def hear(self, seconds: float = 0.0) -> list[str]:
        """All that comes within this time."""
        said, until = [], time.monotonic() + seconds
        while True:
            self._socket.settimeout(max(0.001, until - time.monotonic()))
            try:
                said.append(self._socket.recv(4096).decode())
            except TimeoutError:
                return said

    def hear_until(self, word: str) -> list[str]:
        said: list[str] = []
        until = time.monotonic() + SOON_S
        while word not in said:
            assert time.monotonic() < until, said
            said += self.hear(0.01)
        return said

    def is_fed(self) -> bool:
        """Whether it would let the daemon live: no pause as long as its limit."""
        self.hear()
        return all("WATCHDOG=1" in self.hear(WATCHDOG_S) for _ in range(6))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    one = Systemd(tmp_path / "notify")
    yield one
    one.close()


def daemon(systemd: Systemd, load: Any, **options: Any) -> Any:
    return running(load, notifier=Notifier(systemd.environment), **options)


def test_ready_is_said_when_the_socket_answers_and_states_as_they_come(systemd: Systemd) -> None:
    building = threading.Event()

    def slow(report: Any) -> Any:
        loaded = loader(AddOne())(report)
        assert building.wait(SOON_S)
        return loaded

    with daemon(systemd, slow) as served, Peer(served.url) as peer:
        said = systemd.hear_until("STATUS=BUILDING")
        assert said[0] == "READY=1"
        assert peer.status()["state"] == "BUILDING"
        assert systemd.is_fed()  # a build takes minutes
        building.set()
        assert "STATUS=SELF_TEST" in systemd.hear_until("STATUS=READY")
    said = systemd.hear_until("STATUS=STOPPED")
    assert [one for one in said if one != "WATCHDOG=1"] == [
        "STATUS=DRAINING",
        "STOPPING=1",
        "STATUS=STOPPED",
    ]


def test_an_idle_daemon_feeds_the_watchdog_and_one_whose_engine_hangs_does_not(
    systemd: Systemd,
) -> None:
    gate = Gate()
    with daemon(systemd, loader(AddOne(gate))) as served, Peer(served.url) as peer:
        peer.wait_for("READY")
        assert systemd.is_fed()
        peer.send(0)
        gate.wait_entered()
        # The socket thread lives, and must not hide that nothing is inferred any more.
        systemd.hear(WATCHDOG_S)
        until = time.monotonic() + 2 * WATCHDOG_S
        while time.monotonic() < until:
            assert peer.status()["state"] == "READY"
        assert systemd.hear() == []
        gate.open.release()
        peer.hear()
        assert systemd.is_fed()


def test_a_busy_daemon_feeds_the_watchdog(systemd: Systemd) -> None:
    with daemon(systemd, loader(AddOne())) as served, Peer(served.url) as peer:
        peer.wait_for("READY")
        systemd.hear()
        until = time.monotonic() + 2 * WATCHDOG_S
        seq = 0
        while time.monotonic() < until:
            peer.send(seq)
            assert peer.hear()["outcome"] == "enhanced"
            seq += 1
        assert 4 <= systemd.hear().count("WATCHDOG=1") <= 12


def test_a_degraded_daemon_that_waits_for_its_next_self_test_feeds_the_watchdog(
    systemd: Systemd,
) -> None:
    checked: list[int] = []

    def check() -> None:
        checked.append(1)
        if len(checked) > 1:
            raise GoldenMismatchError("off")

    def broken(_: object) -> None:
        raise RuntimeError

    load = loader(AddOne(broken), check=check)
    with daemon(systemd, load, retry_s=(60.0, 60.0)) as served, Peer(served.url) as peer:
        peer.wait_for("READY")
        for seq in range(3):
            peer.send(seq)
            peer.hear()
        peer.wait_for("DEGRADED")
        assert systemd.is_fed()


@pytest.mark.parametrize(
    "changes",
    [
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "/nowhere/at/all"},
        {"WATCHDOG_USEC": "nonsense"},
        {"WATCHDOG_PID": "1"},
    ],
)
def test_without_a_systemd_that_watches_nothing_is_fed_and_nothing_fails(
    systemd: Systemd, changes: dict[str, str]
) -> None:
    notifier = Notifier({**systemd.environment, **changes})
    notifier.ready()
    notifier.alive()
    notifier.close()
    notifier.alive()
    assert "WATCHDOG=1" not in systemd.hear()


def test_an_abstract_socket_is_reached_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        name = f"scanside-test-{os.getpid()}"
        other.bind(f"\0{name}")
        notifier = Notifier({"NOTIFY_SOCKET": f"@{name}"})
        notifier.ready()
        assert other.recv(100) == b"READY=1"
        notifier.close()
