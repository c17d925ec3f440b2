"""A way to wake the socket thread from its poll: from another thread or from a signal."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class Wakeup:
    """A pair of connected sockets: a byte into one makes the other readable."""

    def __init__(self) -> None:
        self._inner, self._outer = socket.socketpair()
        self._inner.setblocking(False)
        self._outer.setblocking(False)

    def fileno(self) -> int:
        """What to poll."""
        return self._inner.fileno()

    def ring(self) -> None:
        # A full buffer has rung already; a closed one has nobody left to wake.
        with contextlib.suppress(BlockingIOError, OSError):
            self._outer.send(b"\0")

    def answer(self) -> None:
        """Make it unreadable again, before looking at what it was rung for."""
        with contextlib.suppress(BlockingIOError):
            while self._inner.recv(4096):
                pass

    def close(self) -> None:
        self._inner.close()
        self._outer.close()

    @contextlib.contextmanager
    def on_signals(
        self, stop: Callable[[], None], reload: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """While open, SIGTERM and SIGINT ring and call `stop`, SIGHUP `reload`. Main thread only.

        The C-level handler may run on any thread, where it would not interrupt the poll: hence
        the wake-up descriptor, which is written to wherever it runs.
        """
        before = {number: signal.signal(number, lambda *_: stop()) for number in _STOPPING}
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: reload())
        descriptor = signal.set_wakeup_fd(self._outer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in before.items():
                signal.signal(number, handler)
