"""What systemd is told (sd_notify): that the socket answers, the state, and that frames move."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Mapping

FEEDS_PER_LIMIT = 4
"""systemd advises twice; a busy machine is forgiven more."""


class Notifier:
    """Speaks to the socket NOTIFY_SOCKET of `environment`; without it every method does nothing.

    Any thread may call any method; none blocks, and none fails where systemd does not listen.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        self._feed_every = _watchdog_s(environment) / FEEDS_PER_LIMIT
        self._next_feed = 0.0
        self._lock = threading.Lock()

    def ready(self) -> None:
        """The socket answers; the model may still be building."""
        self._say("READY=1")

    def state(self, text: str) -> None:
        self._say(f"STATUS={text}")

    def stopping(self) -> None:
        self._say("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog, where there is one and it is time."""
        now = time.monotonic()
        if not self._feed_every or now < self._next_feed:
            return
        self._next_feed = now + self._feed_every
        self._say("WATCHDOG=1")

    @property
    def tick_s(self) -> float:
        """How often `alive` should be called at least."""
        return self._feed_every or 1.0

    def close(self) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _say(self, text: str) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.sendto(text.encode(), self._address)


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """systemd's limit; 0 where there is none or it is for another process."""
    micros, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not micros.isdigit() or (pid and pid != str(os.getpid())):
        return 0.0
    return int(micros) / 1e6
