"""How a client shows its keys, and what it is told when they do not fit.

libzmq tries a handshake that failed again for ever, and says why only to who monitors the socket.
"""

from __future__ import annotations

import zmq
from zmq.utils.monitor import recv_monitor_message

from scanside.runtime.curve import ClientKeys, key_id
from scanside.runtime.errors import HandshakeError

EVENTS = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
CLOSED_WITHOUT_A_WORD = 3
"""So often in a row nobody dies at this moment. A daemon that cannot open what was locked with
another server key just closes the connection; one without keys may, before it was heard."""


class Handshake:
    """The keys and the monitor of a DEALER that is not connected yet.

    socket: the monitor, to be polled. refused: why there will be no session; None while there may.
    """

    def __init__(self, dealer: zmq.Socket[bytes], url: str, keys: ClientKeys | None) -> None:
        self.refused: HandshakeError | None = None
        self._dealer = dealer
        self._url = url
        self._keys = keys
        self._closed = 0
        if keys is not None:
            keys.lock(dealer)
        self.socket = dealer.get_monitor_socket(EVENTS)

    def has_gone(self) -> bool:
        """Whether the connection was lost since the last call. Looks at all that was told."""
        gone = False
        while self.socket.poll(0):
            message = recv_monitor_message(self.socket)
            event, value = message["event"], int(message["value"])
            gone = gone or event == zmq.EVENT_DISCONNECTED
            if self.refused is None and event != zmq.EVENT_DISCONNECTED:
                self.refused = self._refusal(event, value)
        return gone

    def close(self) -> None:
        self._dealer.disable_monitor()
        self.socket.close(0)

    def _refusal(self, event: int, value: int) -> HandshakeError | None:
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH and self._keys is not None:
            return HandshakeError(
                f"the daemon at {self._url} does not let the key "
                f"{key_id(self._keys.pair.public)[:16]} in",
                next_step="have this client's client.pub put among the daemon's clients/, and the "
                "daemon read them again (SIGHUP)",
            )
        mismatch = zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
        if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL and value == mismatch:
            return self._one_sided()
        self._closed += 1
        if self._keys is None or self._closed < CLOSED_WITHOUT_A_WORD:
            return None
        return HandshakeError(
            f"whoever listens at {self._url} ends every handshake: server.pub is not its key, or "
            "it uses no keys",
            next_step="compare `scanside keys show server.pub` here with the daemon's own, and see "
            "that it was started with --keys",
        )

    def _one_sided(self) -> HandshakeError:
        if self._keys is None:
            return HandshakeError(
                f"the daemon at {self._url} asks for keys",
                next_step="name the folder with client.key and server.pub: --keys FOLDER, or "
                "SCANSIDE_KEYS=FOLDER",
            )
        return HandshakeError(
            f"the daemon at {self._url} uses no keys, and would read and answer in the clear",
            next_step="start it with --keys; on one machine, do without --keys and SCANSIDE_KEYS",
        )
