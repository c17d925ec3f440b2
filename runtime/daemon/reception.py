"""What the socket thread does with each message: sessions, admission, and one answer per frame."""

from __future__ import annotations

import math
import time

import zmq

from scanside.runtime import wire
from scanside.runtime.admission import admit
from scanside.runtime.daemon.journal import event, failure
from scanside.runtime.daemon.loading import Loaded
from scanside.runtime.daemon.mailroom import Mailroom
from scanside.runtime.daemon.schedule import Schedule
from scanside.runtime.daemon.sessions import Job, Session, has_usable_numbers
from scanside.runtime.daemon.states import Life, State
from scanside.runtime.daemon.watch import Watch
from scanside.runtime.errors import ProtocolError, RefusedFrameError
from scanside.runtime.frame import Pixels
from scanside.runtime.wire import ErrorCode, Outcome, Reason

MAX_SESSIONS = 64
QUEUE_BYTES = 512 << 20
"""Pixels of all unanswered frames together: credit bounds each client, this bounds the daemon."""

# Why a frame is bypassed at once in each state; only READY queues it.
BYPASS_REASON = {
    State.STARTING: Reason.NOT_READY,
    State.VERIFYING: Reason.NOT_READY,
    State.BUILDING: Reason.NOT_READY,
    State.SELF_TEST: Reason.NOT_READY,
    State.READY: None,
    State.DEGRADED: Reason.ENGINE_ERROR,
    State.DRAINING: Reason.DRAINING,
    State.STOPPED: Reason.DRAINING,
}


class Reception:
    """Belongs to the socket thread. Frames it admits go to `schedule`; the engine's work on them
    comes back through `inferred`; `expire` answers those whose time is up."""

    def __init__(
        self, mail: Mailroom, schedule: Schedule, life: Life, *, credit: int, silence_s: float
    ) -> None:
        self.loaded: Loaded | None = None
        self._mail = mail
        self._schedule = schedule
        self._life = life
        self._credit = credit
        self._silence_s = silence_s
        self._sessions: dict[bytes, Session] = {}
        self._deadlines: dict[Job, float] = {}
        self._queued_bytes = 0
        self.watch = Watch()
        self._counters = self.watch.tally.counters

    # Messages

    def take(self, peer: bytes, header: zmq.Frame, pixels: zmq.Frame | None) -> None:
        """Answer one message of a client, or queue its frame."""
        try:
            self._take(peer, header, pixels)
        except Exception as error:  # noqa: BLE001 - a bug that one client hits must stop no other
            failure("message failed", error)
            self._error(peer, ErrorCode.UNREADABLE, "this message makes the daemon fail")
            if peer in self._sessions:
                self._end(self._sessions[peer], "message failed")

    def _take(self, peer: bytes, header: zmq.Frame, pixels: zmq.Frame | None) -> None:
        session = self._sessions.get(peer)
        if session is not None:
            session.heard = time.monotonic()
        try:
            message = wire.decode_from_client(header)
        except ProtocolError as error:
            self._error(peer, ErrorCode.UNREADABLE, error.message)
            return
        if isinstance(message, wire.Hello):
            self._hello(peer, session, message)
        elif isinstance(message, wire.StatusRequest):
            self._mail.send(peer, self.status())
        elif session is None:
            self._error(peer, ErrorCode.NO_SESSION, "say HELLO first")
        elif isinstance(message, wire.Frame):
            self._frame(session, message, pixels)
        elif isinstance(message, wire.Ping):
            self._tell(session, wire.Pong())
        elif isinstance(message, wire.Bye):
            self._end(session, "bye")

    def _hello(self, peer: bytes, session: Session | None, hello: wire.Hello) -> None:
        if session is None:
            common = set(hello.versions) & set(wire.VERSIONS)
            if not common:
                spoken = ", ".join(map(str, wire.VERSIONS))
                self._error(peer, ErrorCode.NO_COMMON_VERSION, f"this daemon speaks {spoken}")
                return
            if len(self._sessions) >= MAX_SESSIONS:
                for other in list(self._sessions.values()):
                    self._tell(other, wire.Ping())  # ends those that died without a BYE
            if len(self._sessions) >= MAX_SESSIONS:
                self._error(peer, ErrorCode.BUSY, f"{MAX_SESSIONS} sessions are open already")
                return
            session = self._sessions[peer] = Session(peer, max(common))
            event("session opened", session=session.name, sessions=len(self._sessions))
        welcome = wire.Welcome(
            version=session.version,
            session=session.name,
            state=self._life.state.value,
            model=self.loaded.card if self.loaded else None,
            credit=self._credit,
            silence_s=self._silence_s,
        )
        self._tell(session, welcome)

    def status(self) -> wire.Status:
        """Where things stand. Any thread may ask."""
        return self.watch.status(self._life.state, self.loaded, list(self._sessions.values()))

    # Frames

    def _frame(self, session: Session, frame: wire.Frame, part: zmq.Frame | None) -> None:
        received = time.monotonic()
        if not session.has_room_for(frame.stream):
            self._refuse(session, frame, Reason.MALFORMED, "too many streams in one session")
            return
        if not session.is_new(frame):
            self._refuse(session, frame, Reason.DUPLICATE, "seq must grow within a stream")
            return
        size = wire.pixel_bytes(frame.rows, frame.columns, frame.dtype)
        if part is None or len(part) != size:
            self._refuse(session, frame, Reason.MALFORMED, "the pixels do not match the header")
            return
        if not has_usable_numbers(frame):
            self._refuse(session, frame, Reason.MALFORMED, "deadline or padding out of range")
            return
        bypass = BYPASS_REASON[self._life.state]
        if bypass is not None or self.loaded is None:
            self._send(session, frame, Outcome.BYPASSED, bypass or Reason.NOT_READY, part)
            return
        try:
            admit(self.loaded.manifest, frame.facts, (frame.rows, frame.columns), frame.dtype)
        except RefusedFrameError as error:
            self._refuse(session, frame, Reason(error.reason), error.message)
            return
        for older in session.superseded_by(frame):
            if self._schedule.withdraw(older):
                self._bypass(older, Reason.SUPERSEDED)
        if session.peer not in self._sessions:  # it did not read even that
            return
        if len(session.unanswered) >= self._credit or self._queued_bytes + len(part) > QUEUE_BYTES:
            self._refuse(session, frame, Reason.OVER_CREDIT, "wait for results first")
            return
        self._queue(session, frame, part, received)

    def _queue(self, session: Session, frame: wire.Frame, part: zmq.Frame, received: float) -> None:
        pixels = wire.from_wire(part, frame.rows, frame.columns, frame.dtype)
        job = Job(session, frame, part, pixels, received)
        session.unanswered[job.key] = job
        self._queued_bytes += len(part)
        if frame.deadline_ms is not None:
            self._deadlines[job] = received + frame.deadline_ms / 1000
        self._schedule.put(job)

    @property
    def waiting(self) -> int:
        """Admitted frames without an answer."""
        return sum(len(session.unanswered) for session in self._sessions.values())

    @property
    def next_deadline(self) -> float:
        """On time.monotonic; infinite when no frame has one."""
        return min(self._deadlines.values(), default=math.inf)

    def inferred(self, job: Job) -> None:
        """The engine is done with a frame. Output for one that was answered is thrown away."""
        if job.answered:
            return
        self.watch.inferred(job, self.loaded)
        if job.output is None:
            self._bypass(job, job.fault)
        else:
            self._settle(job, Outcome.ENHANCED, None, job.output)

    def take_over(self, loaded: Loaded) -> None:
        """Another model answers from now on. Frames that wait are held against it as if they came
        now: what the one before admitted may be none of its business."""
        self.loaded = loaded
        waiting = [job for one in self._sessions.values() for job in one.unanswered.values()]
        for job in waiting:
            shape = job.frame.rows, job.frame.columns
            try:
                admit(loaded.manifest, job.frame.facts, shape, job.frame.dtype)
            except RefusedFrameError as error:
                if self._schedule.withdraw(job) and not job.answered:
                    self._settle(job, Outcome.REFUSED, Reason(error.reason), None, error.message)

    def expire(self, now: float) -> None:
        """Bypass every frame whose deadline has come, waiting or in the engine."""
        for job in [job for job, deadline in self._deadlines.items() if deadline <= now]:
            if not job.answered:  # its session may have ended with one before it
                self._bypass(job, Reason.LATE)

    def bypass_all(self, reason: Reason) -> None:
        for session in list(self._sessions.values()):
            for job in list(session.unanswered.values()):
                if not job.answered:
                    self._bypass(job, reason)

    # Answers

    def _bypass(self, job: Job, reason: Reason) -> None:
        self._schedule.withdraw(job)
        self._settle(job, Outcome.BYPASSED, reason, job.part)

    def _settle(
        self,
        job: Job,
        outcome: Outcome,
        reason: Reason | None,
        pixels: zmq.Frame | Pixels | None,
        text: str = "",
    ) -> None:
        self._forget(job)
        del job.session.unanswered[job.key]
        timings = job.timings(time.monotonic())
        self._send(
            *(job.session, job.frame, outcome, reason, pixels),
            card=job.card,
            timings=timings,
            text=text,
        )

    def _forget(self, job: Job) -> None:
        job.answered = True
        self._deadlines.pop(job, None)
        self._queued_bytes -= len(job.part)

    def _refuse(self, session: Session, frame: wire.Frame, reason: Reason, text: str) -> None:
        self._send(session, frame, Outcome.REFUSED, reason, text=text)

    def _send(
        self,
        session: Session,
        frame: wire.Frame,
        outcome: Outcome,
        reason: Reason | None,
        pixels: zmq.Frame | Pixels | None = None,
        *,
        card: wire.ModelCard | None = None,
        timings: wire.Timings = wire.NO_TIMINGS,
        text: str = "",
    ) -> None:
        # The model that worked on the frame, which need not be the one that is active now.
        card = card or (self.loaded.card if self.loaded else None)
        scale = card.scale if card and outcome is Outcome.ENHANCED else 1
        result = wire.Result(
            stream=frame.stream,
            seq=frame.seq,
            outcome=outcome,
            reason=reason,
            rows=frame.rows * scale,
            columns=frame.columns * scale,
            dtype=frame.dtype,
            scale=scale,
            model=card.identity if card else "",
            engine=card.engine if card else "",
            signed=card.signed if card else False,
            timings=timings,
            capture_time=frame.capture_time,
            text=text,
        )
        if self._tell(session, result, pixels):
            self.watch.tally.count(outcome, reason, card, timings)

    def _tell(
        self, session: Session, message: wire.FromDaemon, pixels: zmq.Frame | Pixels | None = None
    ) -> bool:
        """Send, or end the session of a peer that is gone or does not read."""
        if self._mail.send(session.peer, message, pixels):
            return True
        if session.peer in self._sessions:
            self._counters.closed_peers += 1
            self._end(session, "gone or not reading")
        return False

    def _error(self, peer: bytes, code: ErrorCode, text: str) -> None:
        self._counters.errors += 1
        self._mail.send(peer, wire.Error(code=code, text=text))

    # The end of sessions

    def _end(self, session: Session, reason: str) -> None:
        del self._sessions[session.peer]
        self._schedule.drop(session)
        self.watch.ended(session)
        for job in session.unanswered.values():
            self._forget(job)
        event(
            "session closed",
            session=session.name,
            reason=reason,
            frames=len(session.unanswered),
            sessions=len(self._sessions),
        )
        session.unanswered.clear()

    def sweep(self, now: float) -> None:
        """Of the sessions that wait for nothing: ask those that are silent, end the too silent."""
        for session in [one for one in self._sessions.values() if not one.unanswered]:
            silence = now - session.heard
            if self._silence_s / 2 < silence <= self._silence_s:
                self._tell(session, wire.Ping())
            elif silence > self._silence_s:
                self._error(session.peer, ErrorCode.NO_SESSION, "closed after a long silence")
                self._end(session, "silent")

    def say_bye(self) -> None:
        """End all sessions."""
        for session in list(self._sessions.values()):
            self._mail.send(session.peer, wire.Bye())
            self._end(session, "drained")
