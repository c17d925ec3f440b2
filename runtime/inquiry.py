"""Asking a daemon for its STATUS without a session, so that a full daemon answers too."""

from __future__ import annotations

import time

import zmq

from scanside.runtime import wire
from scanside.runtime.errors import ProtocolError, ServerUnreachableError, TransportError


def ask_status(url: str, timeout: float) -> wire.Status:
    """The daemon's answer to STATUS within `timeout` seconds.

    Raises ServerUnreachableError when there is none, TransportError when `url` is no address,
    ProtocolError when whoever answers speaks something else.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    try:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.MAXMSGSIZE, wire.HEADER_LIMIT)
        socket.set(zmq.IPV6, int("[" in url))
        try:
            socket.connect(url)
        except zmq.ZMQError as error:
            raise TransportError(
                f"{url} is not an address", next_step="write it as tcp://HOST:PORT or ipc://PATH"
            ) from error
        socket.send(wire.encode(wire.StatusRequest()))
        return _answer(socket, url, time.monotonic() + timeout)
    finally:
        socket.close()
        context.term()


def _answer(socket: zmq.Socket[bytes], url: str, until: float) -> wire.Status:
    while (left := until - time.monotonic()) > 0:
        if not socket.poll(max(1, int(left * 1000))):
            break
        message = wire.decode_from_daemon(socket.recv_multipart(copy=False)[0])
        if isinstance(message, wire.Status):
            return message
        if isinstance(message, wire.Error):
            raise ProtocolError("the daemon does not understand this client")
    raise ServerUnreachableError(
        f"no daemon answers at {url}",
        next_step="start one with `scanside serve FILE --bind URL`, or check the address",
    )
