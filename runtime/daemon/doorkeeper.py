"""Who may come in: the daemon's CURVE key, and the clients whose keys it knows.

libzmq shakes hands on its own thread and asks, once per connection, whether the client's key is
allowed (ZAP, ZeroMQ RFC 27). The daemon's own loop answers: one more socket in its poll, and no
thread beside it. Where nobody answers, nobody comes in.
"""

from __future__ import annotations

import time
from pathlib import Path

import zmq
from zmq.utils import z85

from scanside.runtime.curve import CLIENTS, SECRET, SERVER, key_id, load_pair, read_clients
from scanside.runtime.daemon.journal import SELDOM_S, event
from scanside.runtime.errors import KeyFileError, TransportError

ZAP_ADDRESS = "inproc://zeromq.zap.01"
DOMAIN = b"scanside"
ANSWERS_PER_TURN = 16
OLDEST_LIBZMQ = 4, 3
"""Before it a CURVE socket whose ZAP does not answer lets everybody in."""


class Doorkeeper:
    """Belongs to the socket thread. folder: see `scanside.runtime.curve`.

    Raises KeyFileError where the daemon's key or any client's cannot be used, or there is none;
    TransportError where this ZeroMQ has no CURVE.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], folder: Path) -> None:
        if not zmq.has("curve") or zmq.zmq_version_info()[:2] < OLDEST_LIBZMQ:
            raise TransportError(
                "this ZeroMQ cannot use keys", next_step="pip install pyzmq, which brings its own"
            )
        self._folder = folder / CLIENTS
        self._pair = load_pair(folder / (SERVER + SECRET))
        clients, wrong = read_clients(self._folder)
        if wrong:
            raise wrong[0]
        self._allowed = frozenset(clients)
        self._next_told = 0.0
        self.socket = context.socket(zmq.REP)
        self.socket.set(zmq.LINGER, 0)
        try:
            self.socket.bind(ZAP_ADDRESS)
        except BaseException:
            self.socket.close()
            raise

    def guard(self, router: zmq.Socket[bytes]) -> None:
        """Lock a socket that is not bound yet."""
        router.set(zmq.CURVE_SERVER, 1)
        router.set(zmq.CURVE_SECRETKEY, self._pair.secret)
        router.set(zmq.ZAP_DOMAIN, DOMAIN)
        router.set(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def answer(self) -> None:
        """Answer the handshakes that wait."""
        for _ in range(ANSWERS_PER_TURN):
            try:
                request = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            client = _client_in(request)
            word = (b"200", b"OK") if client in self._allowed else (b"400", b"not among clients")
            if client not in self._allowed:
                self._tell_refused(client)
            user = client.encode() if client in self._allowed else b""
            self.socket.send_multipart([b"1.0", request[1], *word, user, b""], zmq.NOBLOCK)

    def client_of(self, part: zmq.Frame) -> str | None:
        """The id of the key with which a message came; None where it is not allowed (any more)."""
        try:
            client = part.get("User-Id")
        except zmq.ZMQError:
            return None
        return client if client in self._allowed else None

    def allows(self, client: str) -> bool:
        return client in self._allowed

    def reload(self) -> str:
        """Read who may come in again. From now on only those do whose key could be read now.

        Raises KeyFileError, having done so, where a key could not, or there is none.
        """
        clients, wrong = read_clients(self._folder)
        self._allowed = frozenset(clients)
        told = f"{len(clients)} clients may come in"
        if wrong:
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise KeyFileError(f"{wrong[0].message}{more}; {told}", next_step=wrong[0].next_step)
        return told

    def close(self) -> None:
        self.socket.close()

    def _tell_refused(self, client: str) -> None:
        """At most a line in SELDOM_S: libzmq's clients try again ten times a second."""
        now = time.monotonic()
        if now >= self._next_told:
            self._next_told = now + SELDOM_S
            event("client refused", identity=client)


def _client_in(request: list[bytes]) -> str:
    """The id of the key in a ZAP request; empty where it is none of ours."""
    if len(request) != 7 or len(request[6]) != 32:
        return ""
    version, _, domain, _, _, mechanism, key = request
    if (version, domain, mechanism) != (b"1.0", DOMAIN, b"CURVE"):
        return ""
    return key_id(z85.encode(key))
