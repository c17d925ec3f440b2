"""How the daemon gives a client the memory that they share: a descriptor over a local datagram.

The client listens on an abstract name that only it could have chosen and tells it over ZeroMQ. The
daemon sends and forgets: it accepts no connection, waits for nobody and leaves no file behind.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket

_PREFIX = "scanside-"
_ADDRESS = re.compile(_PREFIX + r"[0-9a-f]{32}\Z")
MOST_BYTES = 64


class Letterbox:
    """The client's end, where it arrives. Raises OSError where there is no such socket."""

    def __init__(self) -> None:
        self.address = _PREFIX + secrets.token_hex(16)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.bind(f"\0{self.address}")
        except BaseException:
            self._socket.close()
            raise

    def take(self, word: str) -> int | None:
        """The descriptor that came with `word`, None if none did; others are closed."""
        taken = None
        with contextlib.suppress(BlockingIOError):
            while True:
                said, descriptors, _, _ = socket.recv_fds(self._socket, MOST_BYTES, 1)
                for descriptor in descriptors:
                    if taken is None and said == word.encode():
                        taken = descriptor
                    else:
                        os.close(descriptor)
        return taken

    def close(self) -> None:
        self._socket.close()


def hand_over(descriptor: int, address: str, word: str) -> bool:
    """Send a copy of `descriptor` to a `Letterbox`; whether it went out. Never waits.

    An address that no Letterbox would have is refused: a client must not make the daemon send
    descriptors to whoever else listens on this machine.
    """
    if _ADDRESS.match(address) is None:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
        try:
            sender.connect(f"\0{address}")
            socket.send_fds(sender, [word.encode()], [descriptor])
        except OSError:
            return False
    return True
