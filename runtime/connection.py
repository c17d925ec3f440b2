"""The client's end of one session: a ZeroMQ DEALER that knows when its daemon has gone."""

from __future__ import annotations

import math
import time

import zmq

from scanside.runtime import wire
from scanside.runtime.curve import ClientKeys
from scanside.runtime.errors import HandshakeError, ProtocolError, TransportError
from scanside.runtime.frame import Pixels
from scanside.runtime.handshake import Handshake
from scanside.runtime.memory.share import Share

LARGEST_SCALE = 2
SEND_ROOM = 64
"""Messages beyond the daemon's credit that may wait to be sent to it."""
MOST_CREDIT = 4096
"""A daemon that grants more is taken at this: the high-water mark bounds this side's memory."""
BYE_LINGER_MS = 100

Letter = wire.Result | wire.Status
"""What the client itself has to look at; the rest is dealt with here."""


class Connection:
    """Says HELLO at once, and again to whoever turns up at the address before a WELCOME came.

    welcome: the session, None until there is one. lost: why it is over, empty until it is.
    heard: when the daemon last said anything, on time.monotonic. pongs: its answers to PING.
    share: the memory that it shares with the daemon. keys: shown to it, and asked of it.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        url: str,
        transports: tuple[str, ...] = (wire.INLINE,),
        keys: ClientKeys | None = None,
    ) -> None:
        self.welcome: wire.Welcome | None = None
        self.lost = ""
        self.heard = time.monotonic()
        self.pongs = 0
        self.share = Share()
        self._hello = wire.Hello(versions=wire.VERSIONS, transports=transports)
        self._socket = context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.SNDHWM, SEND_ROOM)
        self._socket.set(zmq.MAXMSGSIZE, wire.PIXELS_LIMIT * LARGEST_SCALE**2)
        self._socket.set(zmq.IPV6, int("[" in url))
        self._handshake = Handshake(self._socket, url, keys)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._handshake.socket, zmq.POLLIN)
        try:
            self._socket.connect(url)
        except zmq.ZMQError as error:
            self.close()
            raise TransportError(
                f"{url} is not an address", next_step="write it as tcp://HOST:PORT or ipc://PATH"
            ) from error
        self.send(self._hello)

    @property
    def credit(self) -> int:
        """How many frames may be on their way at once; 1 before WELCOME."""
        return min(self.welcome.credit, MOST_CREDIT) if self.welcome else 1

    @property
    def refused(self) -> HandshakeError | None:
        """Why there never was a session, where the keys do not fit."""
        return self._handshake.refused if self.welcome is None else None

    def send(self, message: wire.FromClient, pixels: Pixels | None = None) -> None:
        """Pass one message on without waiting; a daemon that takes none any more is `lost`.

        A large array is not copied: it must stay as it is until its RESULT came.
        """
        header = wire.encode(message)
        try:
            if pixels is None:
                self._socket.send(header, zmq.NOBLOCK)
            else:
                copy = pixels.nbytes < wire.ZERO_COPY_BYTES
                self._socket.send(header, zmq.NOBLOCK | zmq.SNDMORE)
                self._socket.send(wire.to_wire(pixels).data, zmq.NOBLOCK, copy=copy)
        except zmq.Again:
            self.lost = "the daemon takes no more messages"

    def receive(self, wait_s: float) -> list[tuple[Letter, zmq.Frame | None]]:
        """Everything that has come, after waiting at most `wait_s` for the first of it.

        Raises ProtocolError for what wire version 1 does not allow a daemon to say.
        """
        ready = dict(self._poller.poll(math.ceil(wait_s * 1000)))
        # The monitor first: whatever was sent before the daemon went is then there to be read.
        gone = self._handshake.socket in ready and self._handshake.has_gone()
        letters = []
        while (parts := self._parts()) is not None:
            self.heard = time.monotonic()
            letter = self._sort(wire.decode_from_daemon(parts[0]))
            if letter is not None:
                letters.append((letter, parts[1] if len(parts) == 2 else None))
        if self.refused is not None:
            self.lost = self.refused.message
        elif gone and self.welcome is None:
            self.send(self._hello)
        elif gone:
            self.lost = self.lost or "the daemon has gone"
        return letters

    def close(self, *, bye: bool = False) -> None:
        if bye and self.welcome is not None and not self.lost:
            self.send(wire.Bye())
            self._socket.set(zmq.LINGER, BYE_LINGER_MS)
        self._handshake.close()
        self._socket.close()
        self.share.close()

    def _parts(self) -> list[zmq.Frame] | None:
        try:
            return self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None

    def _sort(self, message: wire.FromDaemon) -> Letter | None:
        if isinstance(message, wire.Result | wire.Status):
            return message
        if isinstance(message, wire.Welcome):
            if message.version not in wire.VERSIONS:
                raise ProtocolError(f"the daemon chose wire version {message.version}")
            if message.credit < 1 or not message.silence_s > 0:
                raise ProtocolError("the daemon's welcome lets no frame be sent")
            self.welcome = message
            # A connection that is there already takes the new mark (libzmq 4.2 and later).
            self._socket.set(zmq.SNDHWM, wire.LAG * (self.credit + SEND_ROOM))
        elif isinstance(message, wire.Memory):
            if self.welcome is None or not self.share.asked:
                raise ProtocolError("the daemon gives memory that nobody asked for")
            self.share.answered(message, self.welcome.session)
        elif isinstance(message, wire.Ping):
            self.send(wire.Pong())
        elif isinstance(message, wire.Pong):
            self.pongs += 1
        elif isinstance(message, wire.Bye):
            self.lost = "the daemon has stopped"
        elif isinstance(message, wire.Error):
            if message.code in (wire.ErrorCode.UNREADABLE, wire.ErrorCode.NO_COMMON_VERSION):
                raise ProtocolError(
                    f"the daemon does not understand this client: {message.text}",
                    next_step="run the same version of Scanside on both sides",
                )
            self.lost = message.text
        return None
