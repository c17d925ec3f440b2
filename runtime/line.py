"""A client's line to its daemon: one session, and after it is lost another one."""

from __future__ import annotations

import time
from collections.abc import Callable

import zmq

from scanside.runtime import wire
from scanside.runtime.connection import Connection, Letter
from scanside.runtime.errors import ProtocolError, ServerUnreachableError, TransportError

RECONNECT_S = 0.25
"""How long the first frame after a lost session waits for a new one; the next ones do not wait."""
PONG_S = 1.0


class Line:
    """session: the connection there is, with or without a WELCOME; None between two.

    connect: makes a connection. timeout: seconds that the daemon may take to answer HELLO.
    take: called with what the daemon says and the part that came with it. lost: called when a
    session is over, with why.
    """

    def __init__(
        self,
        url: str,
        timeout: float,
        connect: Callable[[], Connection],
        take: Callable[[Letter, zmq.Frame | None], None],
        lost: Callable[[str], None],
    ) -> None:
        self.session: Connection | None = None
        self._url = url
        self._timeout = timeout
        self._connect = connect
        self._take = take
        self._lost = lost
        self.why_lost = ""
        self._refused: TransportError | None = None

    def pump(self, wait_s: float) -> None:
        """Take in what the daemon says, waiting at most `wait_s` for the first of it."""
        session = self.session
        if session is None:
            return
        try:
            for letter, part in session.receive(wait_s):
                self._take(letter, part)
        except ProtocolError as error:
            self.lose(error.message)
            raise
        if session.lost:
            self._refused = session.refused
            self.lose(session.lost)

    def fresh(self, *, waiting: bool) -> Connection | None:
        """A session that works as far as can be told without making a frame wait for a daemon
        that is not there. waiting: whether frames are on their way, which will tell."""
        session = self.session
        if session is not None and session.welcome is not None:
            silence = time.monotonic() - session.heard
            if silence > session.welcome.silence_s / 2 and not waiting:
                before = session.pongs  # a PING of the daemon's may be as old as the silence
                session.send(wire.Ping())
                patience = min(PONG_S, self._timeout)
                if not self.pump_until(lambda: session.pongs != before, patience):
                    self.lose("the daemon does not answer any more")
            else:
                self.pump(0)
        first_try = self.session is None
        return self._within(RECONNECT_S if first_try else 0)

    def required(self) -> Connection:
        """A session. Raises ServerUnreachableError when there is none within the timeout,
        HandshakeError as soon as it is told that the keys do not fit."""
        self.pump(0)
        session = self._within(self._timeout)
        if session is None:
            raise self.unreachable()
        return session

    def pump_until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Take in what the daemon says until something is `done` or the session is lost, at most so
        long; False when the time was over before."""
        session = self.session
        until = time.monotonic() + seconds
        while self.session is session and not done():
            left = until - time.monotonic()
            if left <= 0:
                return False
            self.pump(left)
        return True

    @property
    def welcome(self) -> wire.Welcome | None:
        """Of the session there is."""
        return self.session.welcome if self.session is not None else None

    def share(self, size: int, *, waiting: bool) -> None:
        """Have the daemon share memory for frames of `size` bytes, if it may and none is on its
        way."""
        session = self.session
        if waiting or session is None or session.welcome is None:
            return
        request = None
        if wire.SHARED in session.welcome.transports:
            request = session.share.request(size)
        if request is not None:
            session.send(request)
            patience = min(PONG_S, self._timeout)
            self.pump_until(lambda: not session.share.asked, patience)

    def lose(self, why: str, *, bye: bool = False) -> None:
        """The session is over."""
        self.why_lost = why
        session, self.session = self.session, None
        if session is not None:
            session.close(bye=bye)
        self._lost(why)

    def unreachable(self) -> TransportError:
        if self._refused is not None:
            return self._refused
        why = f" ({self.why_lost})" if self.why_lost else ""
        return ServerUnreachableError(
            f"no daemon answers at {self._url} within {self._timeout:g} s{why}",
            next_step="start one with `scanside serve FILE --bind URL`, or check the address",
        )

    def _within(self, wait_s: float) -> Connection | None:
        """The session, connecting anew where there is none; None when no WELCOME came in time."""
        if self.session is None:
            self._refused = None
            self.session = self._connect()
        until = time.monotonic() + wait_s
        left = wait_s
        while self.session is not None and self.session.welcome is None and left >= 0:
            self.pump(left)
            left = until - time.monotonic()
        if self.session is None or self.session.welcome is None:
            return None
        return self.session
