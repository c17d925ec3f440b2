"""The sessions that are open: how each begins, is spoken to, and ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import zmq

from scanside.runtime import wire
from scanside.runtime.daemon.journal import event
from scanside.runtime.daemon.ledger import Ledger
from scanside.runtime.daemon.mailroom import Mailroom
from scanside.runtime.daemon.schedule import Schedule
from scanside.runtime.daemon.sessions import Session
from scanside.runtime.daemon.sharing import Sharing
from scanside.runtime.daemon.watch import Watch
from scanside.runtime.frame import Pixels
from scanside.runtime.wire import ErrorCode

MAX_SESSIONS = 64
NOT_ALLOWED = "the key of this client is not allowed any more"


class Register:
    """Belongs to the socket thread. Iterating gives the sessions as they are now.

    credit, silence_s: as for `Daemon`.
    """

    def __init__(
        self,
        mail: Mailroom,
        schedule: Schedule,
        ledger: Ledger,
        watch: Watch,
        *,
        credit: int,
        silence_s: float,
    ) -> None:
        self._mail = mail
        self._schedule = schedule
        self._ledger = ledger
        self._watch = watch
        self._counters = watch.tally.counters
        self._credit = credit
        self._silence_s = silence_s
        self._sharing = Sharing(credit)
        self._sessions: dict[bytes, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def __contains__(self, session: Session) -> bool:
        return self._sessions.get(session.peer) is session

    def of(self, peer: bytes) -> Session | None:
        return self._sessions.get(peer)

    def greet(
        self, peer: bytes, client: str, hello: wire.Hello, state: str, card: wire.ModelCard | None
    ) -> None:
        """Answer HELLO. In a session that is open it changes nothing. client: id of its key."""
        session = self._sessions.get(peer) or self._begin(peer, client, hello)
        if session is None:
            return
        welcome = wire.Welcome(
            version=session.version,
            session=session.name,
            state=state,
            model=card,
            credit=self._credit,
            silence_s=self._silence_s,
            transports=(wire.INLINE, wire.SHARED) if session.shares else (wire.INLINE,),
        )
        self.tell(session, welcome)

    def _begin(self, peer: bytes, client: str, hello: wire.Hello) -> Session | None:
        common = set(hello.versions) & set(wire.VERSIONS)
        if not common:
            spoken = ", ".join(map(str, wire.VERSIONS))
            self.error(peer, ErrorCode.NO_COMMON_VERSION, f"this daemon speaks {spoken}")
            return None
        if len(self._sessions) >= MAX_SESSIONS:
            for other in self:
                self.tell(other, wire.Ping())  # ends those that died without a BYE
        if len(self._sessions) >= MAX_SESSIONS:
            self.error(peer, ErrorCode.BUSY, f"{MAX_SESSIONS} sessions are open already")
            return None
        session = self._sessions[peer] = Session(peer, max(common), client=client)
        session.shares = wire.SHARED in hello.transports
        key = {"identity": client} if client else {}
        event("session opened", session=session.name, sessions=len(self._sessions), **key)
        return session

    def share(self, session: Session, request: wire.MemoryRequest) -> None:
        """Answer MEMORY."""
        self.tell(session, self._sharing.share(session, request))

    def tell(
        self, session: Session, message: wire.FromDaemon, pixels: zmq.Frame | Pixels | None = None
    ) -> bool:
        """Send, or end the session of a peer that is gone or does not read."""
        if self._mail.send(session.peer, message, pixels):
            return True
        if session in self:
            self._counters.closed_peers += 1
            self.end(session, "gone or not reading")
        return False

    def error(self, peer: bytes, code: ErrorCode, text: str) -> None:
        """Say ERROR. As with `tell`, a peer that does not read even that loses its session."""
        self._counters.errors += 1
        session = self._sessions.get(peer)
        if session is None:
            self._mail.send(peer, wire.Error(code=code, text=text))
        else:
            self.tell(session, wire.Error(code=code, text=text))

    def end(self, session: Session, reason: str) -> None:
        """Whatever it was owed is never sent."""
        del self._sessions[session.peer]
        self._schedule.drop(session)
        self._watch.ended(session)
        left = list(session.unanswered.values())
        for job in left:
            self._ledger.strike(job)
        self._sharing.end(session)
        event(
            "session closed",
            session=session.name,
            reason=reason,
            frames=len(left),
            sessions=len(self._sessions),
        )

    def sweep(self, now: float) -> None:
        """Of the sessions that wait for nothing: ask those that are silent, end the too silent."""
        for session in [one for one in self if not one.unanswered]:
            silence = now - session.heard
            if self._silence_s / 2 < silence <= self._silence_s:
                self.tell(session, wire.Ping())
            elif silence > self._silence_s:
                self.error(session.peer, ErrorCode.NO_SESSION, "closed after a long silence")
                if session in self:
                    self.end(session, "silent")

    def shut_out(self, allowed: Callable[[str], bool]) -> None:
        """End the sessions of all clients whose key is not `allowed` any more."""
        for session in self:
            if session in self and not allowed(session.client):
                self.error(session.peer, ErrorCode.NO_SESSION, NOT_ALLOWED)
                if session in self:
                    self.end(session, "key revoked")

    def say_bye(self) -> None:
        """End all sessions."""
        for session in self:
            self._mail.send(session.peer, wire.Bye())
            self.end(session, "drained")
