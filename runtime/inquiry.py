"""Asking a daemon for its STATUS without a session, so that a full daemon answers too."""

from __future__ import annotations

import math
import time
from pathlib import Path

import zmq

from scanside.runtime import wire
from scanside.runtime.curve import ClientKeys
from scanside.runtime.errors import ProtocolError, ServerUnreachableError, TransportError
from scanside.runtime.handshake import Handshake


def ask_status(url: str, timeout: float, keys: Path | None = None) -> wire.Status:
    """The daemon's answer to STATUS within `timeout` seconds. keys: as for `Client`.

    Raises ServerUnreachableError when there is none, TransportError when `url` is no address,
    ProtocolError when whoever answers speaks something else, KeyFileError and HandshakeError as
    `Client` does.
    """
    held = ClientKeys.of(keys)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    handshake: Handshake | None = None
    try:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.MAXMSGSIZE, wire.HEADER_LIMIT)
        socket.set(zmq.IPV6, int("[" in url))
        handshake = Handshake(socket, url, held)
        try:
            socket.connect(url)
        except zmq.ZMQError as error:
            raise TransportError(
                f"{url} is not an address", next_step="write it as tcp://HOST:PORT or ipc://PATH"
            ) from error
        socket.send(wire.encode(wire.StatusRequest()))
        return _answer(socket, handshake, url, time.monotonic() + timeout)
    finally:
        if handshake is not None:
            handshake.close()
        socket.close()
        context.term()


def _answer(socket: zmq.Socket[bytes], handshake: Handshake, url: str, until: float) -> wire.Status:
    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)
    poller.register(handshake.socket, zmq.POLLIN)
    while (left := until - time.monotonic()) > 0:
        ready = dict(poller.poll(math.ceil(left * 1000)))
        if handshake.socket in ready:
            handshake.has_gone()
        if handshake.refused is not None:
            raise handshake.refused
        if socket not in ready:
            continue
        message = wire.decode_from_daemon(socket.recv_multipart(copy=False)[0])
        if isinstance(message, wire.Status):
            return message
        if isinstance(message, wire.Error):
            raise ProtocolError("the daemon does not understand this client")
    raise ServerUnreachableError(
        f"no daemon answers at {url}",
        next_step="start one with `scanside serve FILE --bind URL`, or check the address",
    )
