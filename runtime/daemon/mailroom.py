"""The daemon's ZeroMQ socket: whole messages in, whole messages out, never waiting."""

from __future__ import annotations

import errno
from pathlib import Path

import zmq

from scanside.runtime import wire
from scanside.runtime.daemon import address
from scanside.runtime.daemon.doorkeeper import Doorkeeper
from scanside.runtime.frame import Pixels

SEND_ROOM = 4
"""Messages beyond a client's credit that may wait to be sent to it: PONGs, STATUS, refusals."""
LINGER_MS = 1000
KEEPALIVE_S = 5
KEEPALIVES = 3
"""Without an answer, of one each KEEPALIVE_S, a TCP connection is given up. Not ZMTP's heartbeats:
libzmq 4.3.5 aborts the process where their timer strikes while a peer that was not read has hung up
(zeromq/libzmq issue 4364)."""

Parcel = tuple[bytes, zmq.Frame, zmq.Frame | None]
"""Peer, header, and the part after the header if there is one."""


class Mailroom:
    """A bound ROUTER. keys: the folder of its keys; with them, `door` says who may come in.

    Raises AddressInUseError or TransportError when `url` cannot be had, KeyFileError as
    `Doorkeeper` does.
    """

    def __init__(self, url: str, credit: int, keys: Path | None = None) -> None:
        self.url = ""
        self.door: Doorkeeper | None = None
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.ROUTER)
        self.socket.set(zmq.ROUTER_MANDATORY, 1)
        self.socket.set(zmq.MAXMSGSIZE, wire.PIXELS_LIMIT)
        self.socket.set(zmq.SNDHWM, wire.LAG * (credit + SEND_ROOM))
        self.socket.set(zmq.RCVHWM, credit + SEND_ROOM)
        self.socket.set(zmq.TCP_KEEPALIVE, 1)
        self.socket.set(zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_S)
        self.socket.set(zmq.TCP_KEEPALIVE_INTVL, KEEPALIVE_S)
        self.socket.set(zmq.TCP_KEEPALIVE_CNT, KEEPALIVES)
        self.socket.set(zmq.TCP_MAXRT, KEEPALIVE_S * KEEPALIVES * 1000)
        self.socket.set(zmq.LINGER, LINGER_MS)
        self.socket.set(zmq.IPV6, int("[" in url))
        try:
            if keys is not None:
                self.door = Doorkeeper(self._context, keys)
                self.door.guard(self.socket)
            self.url = address.bind(self.socket, url)
        except BaseException:
            self.close()
            raise

    def receive(self) -> Parcel | None:
        """The next message that is here already. Parts after the second are read and dropped."""
        try:
            peer = self.socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
        header = part = self.socket.recv(copy=False)
        second = None
        while part.more:
            part = self.socket.recv(copy=False)
            second = second or part
        return peer, header, second

    def client_of(self, header: zmq.Frame) -> str | None:
        """The id of the key with which a message came, None where it is not allowed (any more);
        empty where no keys are asked for."""
        return "" if self.door is None else self.door.client_of(header)

    def send(
        self, peer: bytes, message: wire.FromDaemon, pixels: zmq.Frame | Pixels | None = None
    ) -> bool:
        """Whether the message went out; False when the peer is gone or does not read.

        A large array is not copied: nobody may write to it any more.
        """
        header = wire.encode(message)
        if not self._address(peer):
            return False
        self.socket.send(header, zmq.NOBLOCK | (0 if pixels is None else zmq.SNDMORE))
        if isinstance(pixels, zmq.Frame):
            self.socket.send(pixels, zmq.NOBLOCK, copy=False)
        elif pixels is not None:
            copy = pixels.nbytes < wire.ZERO_COPY_BYTES
            self.socket.send(wire.to_wire(pixels).data, zmq.NOBLOCK, copy=copy)
        return True

    def _address(self, peer: bytes) -> bool:
        """Begin a message: only here may ZeroMQ say that it cannot be sent."""
        for _ in range(2):
            try:
                self.socket.send(peer, zmq.NOBLOCK | zmq.SNDMORE)
            except zmq.ZMQError as error:
                if error.errno == errno.EHOSTUNREACH:
                    return False
                if error.errno != errno.EAGAIN:
                    raise
            else:
                return True
            # ZeroMQ looks only now and then at how far its peers have read; asked, it does.
            self.socket.get(zmq.EVENTS)
        return False

    def close(self) -> None:
        """Give what was sent LINGER_MS to leave, then close."""
        if not self.socket.closed:
            address.give_up(self.url)
        self.socket.close()
        if self.door is not None:
            self.door.close()
        self._context.term()
