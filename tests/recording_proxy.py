"""A wire tap: a tcp proxy that keeps every byte that passes, in both directions."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def recording(url: str) -> Iterator[tuple[str, bytearray]]:
    """The address to use instead of `url` (tcp), for one connection, and what passed so far.

    Each direction is whole and in order; the first one's bytes come first once all is over.
    """
    tape = bytearray()
    listener = socket.create_server(("127.0.0.1", 0))
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    directions = bytearray(), bytearray()

    def pump(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                kept += data
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def work() -> None:
        with suppress(OSError):
            near, _ = listener.accept()
            far = socket.create_connection((host, int(port)))
            with near, far:
                back = threading.Thread(target=pump, args=(far, near, directions[1]))
                back.start()
                pump(near, far, directions[0])
                back.join()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}", tape
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
        assert not thread.is_alive()
        for kept in directions:
            tape += kept
