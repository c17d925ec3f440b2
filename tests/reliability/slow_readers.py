"""Clients that read late, never, or do not even speak: what do the others feel?

`python -m reliability.slow_readers` has two honest clients stream beside one kind of nuisance after
the other, and prints their percentiles beside those of a quiet time. Every honest frame must come
back enhanced, bit by bit.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import zmq
from reliability.daemon_process import RESIDUAL, TRANSPORTS, DaemonProcess
from reliability.honest_client import Account, HonestClient, Plan, total

from daemons import frame_header
from scanside.runtime.inquiry import ask_status

HELLO = msgspec.msgpack.encode({"type": "HELLO", "versions": [1]})
STATUS = msgspec.msgpack.encode({"type": "STATUS"})
PING = msgspec.msgpack.encode({"type": "PING"})
GREETING = bytes.fromhex("ff00000000000000017f0300")
"""The first half of what ZMTP says when it connects."""
SILENT = 40
CALLERS = 200
SMALL_BUFFER = 4096
PATIENCE_S = 60.0
"""For a session to be closed: answers are small, and must fill the kernel's room before one is
stuck, which a slow machine takes long for."""
BURST = 2000
"""Words of a flood before it looks at the time."""
GAP_LIMIT_S = 2.0
FRAME = np.zeros((256, 256), np.uint16)


class Nuisance:
    """Bare sockets to a daemon, closed at the end."""

    def __init__(self, url: str, seconds: float, closed: int | None) -> None:
        """closed: sessions that the daemon closed so far, where one more is to be waited for."""
        self.url, self.seconds = url, seconds
        self._began, self._closed = time.monotonic(), closed
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._raw: list[socket.socket] = []
        self._peers: list[zmq.Socket[bytes]] = []

    def peer(self, receive_room: int = 1000) -> zmq.Socket[bytes]:
        one = self._context.socket(zmq.DEALER)
        one.set(zmq.LINGER, 0)
        one.set(zmq.RCVHWM, receive_room)
        if receive_room == 1:  # the kernel's room too: a slow machine must fill it in time
            one.set(zmq.RCVBUF, SMALL_BUFFER)
        one.connect(self.url)
        self._peers.append(one)
        return one

    def raw(self) -> socket.socket:
        """A connection that ZeroMQ knows nothing of."""
        scheme, _, where = self.url.partition("://")
        if scheme == "tcp":
            host, _, port = where.rpartition(":")
            one = socket.create_connection((host, int(port)))
        else:
            one = socket.socket(socket.AF_UNIX)
            one.connect(where)
        self._raw.append(one)
        return one

    def goes_on(self) -> bool:
        elapsed = time.monotonic() - self._began
        if elapsed < self.seconds:
            return True
        waiting = self._closed is not None and elapsed < PATIENCE_S
        return waiting and closed_peers(self.url) == self._closed

    def __enter__(self) -> Nuisance:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._raw:
            one.close()
        for peer in self._peers:
            peer.close(0)
        self._context.term()


def closed_peers(url: str) -> int:
    return ask_status(url, 10).counters.closed_peers


def _quiet(by: Nuisance) -> None:
    time.sleep(by.seconds)


def _never_reads(by: Nuisance) -> None:
    """Frames as fast as the socket takes them, in sessions that read WELCOME and no RESULT."""
    peers = [by.peer(receive_room=1) for _ in range(2)]
    for peer in peers:
        peer.send(HELLO)
    while by.goes_on():
        _send_frames(peers)


def _send_frames(peers: list[zmq.Socket[bytes]]) -> None:
    """For as long as one that reads slowly waits."""
    until = time.monotonic() + 1.0
    seq = 0
    while time.monotonic() < until:
        header = msgspec.msgpack.encode(frame_header(FRAME, seq=seq))
        for peer in peers:
            try:
                peer.send_multipart([header, FRAME.data], zmq.NOBLOCK)
            except zmq.Again:
                time.sleep(0.001)
        seq += 1


def _reads_one_a_second(by: Nuisance) -> None:
    peer = by.peer(receive_room=1)
    peer.send(HELLO)
    while by.goes_on():
        _send_frames([peer])
        if peer.poll(0):
            peer.recv_multipart()


def _says_nothing(by: Nuisance) -> None:
    for _ in range(SILENT):
        by.raw()
    time.sleep(by.seconds)


def _half_a_greeting(by: Nuisance) -> None:
    for number in range(SILENT):
        by.raw().sendall(GREETING[: 1 + number % len(GREETING)])
    time.sleep(by.seconds)


def _comes_and_goes(by: Nuisance) -> None:
    began = time.monotonic()
    for number in range(CALLERS):
        peer = by.peer()
        peer.send(HELLO)
        if number % 2:
            peer.poll(1000)
        peer.close()
        time.sleep(max(0.0, began + by.seconds * number / CALLERS - time.monotonic()))


def _floods(word: bytes) -> Callable[[Nuisance], None]:
    def flood(by: Nuisance) -> None:
        peer = by.peer(receive_room=1)
        peer.send(HELLO)
        while by.goes_on():
            for _ in range(BURST):
                try:
                    peer.send(word, zmq.NOBLOCK)
                except zmq.Again:
                    time.sleep(0.001)

    return flood


NUISANCES: dict[str, Callable[[Nuisance], None]] = {
    "quiet": _quiet,
    "never reads": _never_reads,
    "reads one a second": _reads_one_a_second,
    f"{SILENT} that say nothing": _says_nothing,
    f"{SILENT} half greetings": _half_a_greeting,
    f"{CALLERS} that come and go": _comes_and_goes,
    "floods STATUS unread": _floods(STATUS),
    "floods PING unread": _floods(PING),
}
CLOSED = ("never reads", "reads one a second", "floods PING unread")
"""Those whose session the daemon has to close. STATUS needs none."""


@dataclass
class Outcome:
    """accounts: of the honest, by nuisance. closed: sessions that the daemon closed then."""

    accounts: dict[str, Account] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def table(self) -> str:
        lines = [
            f"{'beside one that':<24}{'frames':>8}{'lost':>6}{'wrong':>7}{'p50 ms':>8}{'p99 ms':>8}"
            f"{'of quiet':>10}{'longest ms':>12}{'closed':>8}"
        ]
        quiet = self.accounts["quiet"].percentile_ms(99)
        for name, one in self.accounts.items():
            p50, p99 = one.percentile_ms(50), one.percentile_ms(99)
            lines.append(
                f"{name:<24}{one.sent:>8}{one.lost:>6}{sum(one.wrong.values()):>7}{p50:>8.1f}"
                f"{p99:>8.1f}{p99 / quiet:>9.2f}x{one.longest_s * 1000:>12.0f}"
                f"{self.closed[name]:>8}"
            )
        return "\n".join(lines)


def endure(folder: Path, seconds: float, transport: str = "tcp") -> Outcome:
    """At least so many seconds of each nuisance."""
    outcome = Outcome()
    with DaemonProcess(folder, transport) as daemon:
        for name, nuisance in NUISANCES.items():
            closed = closed_peers(daemon.url)
            honest = [
                HonestClient(
                    Plan(
                        url=daemon.url, bundles=[str(daemon.bundle)], residuals=[RESIDUAL],
                        number=number, rows=128, columns=128, window=1, rate=100,
                        shared_memory=transport == "shm",
                    )
                )
                for number in range(2)
            ]  # fmt: skip
            try:
                for one in honest:
                    one.wait_streaming()
                with Nuisance(daemon.url, seconds, closed if name in CLOSED else None) as by:
                    nuisance(by)
                    account = outcome.accounts[name] = total([one.finish() for one in honest])
            finally:
                for one in honest:
                    one.kill()
            outcome.closed[name] = closed_peers(daemon.url) - closed
            if account.lost or account.wrong or set(account.answered) != {"enhanced"}:
                outcome.wrong.append(f"{name}: {account.answered}, {account.wrong}")
            if account.longest_s > GAP_LIMIT_S:
                outcome.wrong.append(f"{name}: a frame waited {account.longest_s:.1f} s")
        if daemon.stop() != 0:
            outcome.wrong.append("the daemon did not stop well")
        outcome.wrong += [f"{number} x {event}" for event, number in daemon.noted().items()]
    for name in CLOSED:
        if not outcome.closed[name]:
            outcome.wrong.append(f"{name}: no session was closed")
    return outcome


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m reliability.slow_readers", description=__doc__)
    parser.add_argument(
        "seconds", type=float, nargs="?", default=8.0, help="of each nuisance, at least"
    )
    parser.add_argument("--transport", choices=TRANSPORTS, default="tcp")
    said = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="scanside-slow-") as folder:
        outcome = endure(Path(folder), said.seconds, said.transport)
    print(outcome.table())  # noqa: T201
    sys.exit("\n".join(outcome.wrong) or None)


if __name__ == "__main__":
    main(sys.argv[1:])
