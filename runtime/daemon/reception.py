"""What the socket thread does with each message: sessions, admission, and one answer per frame."""

from __future__ import annotations

import time

import zmq

from scanside.runtime import wire
from scanside.runtime.admission import admit
from scanside.runtime.daemon.journal import failure
from scanside.runtime.daemon.ledger import Ledger
from scanside.runtime.daemon.loading import Loaded
from scanside.runtime.daemon.mailroom import Mailroom
from scanside.runtime.daemon.register import NOT_ALLOWED, Register
from scanside.runtime.daemon.schedule import Schedule
from scanside.runtime.daemon.sessions import Job, Session, has_usable_numbers
from scanside.runtime.daemon.sharing import frame_in
from scanside.runtime.daemon.states import Life, State
from scanside.runtime.daemon.watch import Watch
from scanside.runtime.errors import ProtocolError, RefusedFrameError
from scanside.runtime.frame import Pixels
from scanside.runtime.wire import ErrorCode, Outcome, Reason

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
    comes back through `inferred`; `expire` answers those whose time is up. register: the sessions
    that are open."""

    def __init__(
        self, mail: Mailroom, schedule: Schedule, life: Life, *, credit: int, silence_s: float
    ) -> None:
        self.loaded: Loaded | None = None
        self._mail = mail
        self._schedule = schedule
        self._life = life
        self._credit = credit
        self._ledger = Ledger()
        self.watch = Watch()
        self.register = Register(
            *(mail, schedule, self._ledger, self.watch), credit=credit, silence_s=silence_s
        )

    # Messages

    def take(self, peer: bytes, header: zmq.Frame, pixels: zmq.Frame | None) -> None:
        """Answer one message of a client, or queue its frame."""
        try:
            self._take(peer, header, pixels)
        except Exception as error:  # noqa: BLE001 - a bug that one client hits must stop no other
            failure("message failed", error)
            self.register.error(peer, ErrorCode.UNREADABLE, "this message makes the daemon fail")
            session = self.register.of(peer)
            if session is not None:
                self.register.end(session, "message failed")

    def _take(self, peer: bytes, header: zmq.Frame, pixels: zmq.Frame | None) -> None:
        session = self.register.of(peer)
        if session is not None:
            session.heard = time.monotonic()
        try:
            message = wire.decode_from_client(header)
        except ProtocolError as error:
            self.register.error(peer, ErrorCode.UNREADABLE, error.message)
            return
        # A handshake is for good: who came in with a key that was taken away since is still here,
        # without a session. In a session its key needs no look, frame by frame.
        client = self._mail.client_of(header) if session is None else session.client
        if client is None:
            self.register.error(peer, ErrorCode.NO_SESSION, NOT_ALLOWED)
        elif isinstance(message, wire.Hello):
            card = self.loaded.card if self.loaded else None
            self.register.greet(peer, client, message, self._life.state.value, card)
        elif isinstance(message, wire.StatusRequest):
            if session is None:
                self._mail.send(peer, self.status())
            else:
                self.register.tell(session, self.status())
        elif session is None:
            self.register.error(peer, ErrorCode.NO_SESSION, "say HELLO first")
        elif isinstance(message, wire.Frame):
            self._frame(session, message, pixels)
        elif isinstance(message, wire.MemoryRequest):
            self.register.share(session, message)
        elif isinstance(message, wire.Ping):
            self.register.tell(session, wire.Pong())
        elif isinstance(message, wire.Bye):
            self.register.end(session, "bye")

    def status(self) -> wire.Status:
        """Where things stand. Any thread may ask."""
        return self.watch.status(self._life.state, self.loaded, list(self.register))

    # Frames

    def _frame(self, session: Session, frame: wire.Frame, part: zmq.Frame | None) -> None:
        received = time.monotonic()
        if not session.has_room_for(frame.stream):
            self._refuse(session, frame, Reason.MALFORMED, "too many streams in one session")
            return
        if not session.is_new(frame):
            self._refuse(session, frame, Reason.DUPLICATE, "seq must grow within a stream")
            return
        pixels = _received(session, frame, part)
        if pixels is None:
            self._refuse(session, frame, Reason.MALFORMED, "the pixels do not match the header")
            return
        if not has_usable_numbers(frame):
            self._refuse(session, frame, Reason.MALFORMED, "deadline or padding out of range")
            return
        bypass = BYPASS_REASON[self._life.state]
        if bypass is not None or self.loaded is None:
            reason = bypass or Reason.NOT_READY
            self._send(session, frame, Outcome.BYPASSED, reason, part, in_slot=part is None)
            return
        try:
            admit(self.loaded.manifest, frame.facts, (frame.rows, frame.columns), frame.dtype)
        except RefusedFrameError as error:
            self._refuse(session, frame, Reason(error.reason), error.message)
            return
        for older in session.superseded_by(frame):
            if self._schedule.withdraw(older):
                self._bypass(older, Reason.SUPERSEDED)
        if session not in self.register:  # it did not read even that
            return
        queued = self._ledger.bytes + pixels.nbytes
        if len(session.unanswered) >= self._credit or queued > QUEUE_BYTES:
            self._refuse(session, frame, Reason.OVER_CREDIT, "wait for results first")
            return
        job = Job(session, frame, part, pixels, received, ring=session.ring)
        self._ledger.enter(job)
        self._schedule.put(job)

    @property
    def waiting(self) -> int:
        """Admitted frames without an answer."""
        return sum(len(session.unanswered) for session in self.register)

    @property
    def next_deadline(self) -> float:
        """On time.monotonic; infinite when no frame has one."""
        return self._ledger.next_deadline

    def inferred(self, job: Job) -> None:
        """The engine is done with a frame. Output for one that was answered is thrown away."""
        if job.answered:
            return
        self.watch.inferred(job, self.loaded)
        if job.output is None:
            self._bypass(job, job.fault)
        else:
            output = None if job.in_slot else job.output
            self._settle(job, Outcome.ENHANCED, None, output, in_slot=job.in_slot)

    def take_over(self, loaded: Loaded) -> None:
        """Another model answers from now on. Frames that wait are held against it as if they came
        now: what the one before admitted may be none of its business."""
        self.loaded = loaded
        waiting = [job for one in self.register for job in one.unanswered.values()]
        for job in waiting:
            shape = job.frame.rows, job.frame.columns
            try:
                admit(loaded.manifest, job.frame.facts, shape, job.frame.dtype)
            except RefusedFrameError as error:
                if self._schedule.withdraw(job) and not job.answered:
                    self._settle(job, Outcome.REFUSED, Reason(error.reason), None, error.message)

    def expire(self, now: float) -> None:
        """Bypass every frame whose deadline has come, waiting or in the engine."""
        for job in self._ledger.due(now):
            if not job.answered:  # its session may have ended with one before it
                self._bypass(job, Reason.LATE)

    def bypass_all(self, reason: Reason) -> None:
        for session in self.register:
            for job in list(session.unanswered.values()):
                if not job.answered:
                    self._bypass(job, reason)

    # Answers

    def _bypass(self, job: Job, reason: Reason) -> None:
        self._schedule.withdraw(job)
        self._settle(job, Outcome.BYPASSED, reason, job.part, in_slot=job.part is None)

    def _settle(
        self,
        job: Job,
        outcome: Outcome,
        reason: Reason | None,
        pixels: zmq.Frame | Pixels | None,
        text: str = "",
        *,
        in_slot: bool = False,
    ) -> None:
        self._ledger.strike(job)
        timings = job.timings(time.monotonic())
        self._send(
            *(job.session, job.frame, outcome, reason, pixels),
            card=job.card,
            timings=timings,
            text=text,
            in_slot=in_slot,
        )

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
        in_slot: bool = False,
    ) -> None:
        """in_slot: the pixels are in the frame's slot, and `pixels` is None."""
        # The model that worked on the frame, which need not be the one that is active now.
        card = card or (self.loaded.card if self.loaded else None)
        scale = card.scale if card and outcome is Outcome.ENHANCED else 1
        slot = frame.slot if in_slot else None
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
            slot=slot,
        )
        if self.register.tell(session, result, pixels):
            self.watch.tally.count(outcome, reason, card, timings)


def _received(session: Session, frame: wire.Frame, part: zmq.Frame | None) -> Pixels | None:
    """(R, C) view of a frame's pixels, wherever they are; None when they are not what its header
    says."""
    size = wire.pixel_bytes(frame.rows, frame.columns, frame.dtype)
    if size is None or (part is None) != (frame.slot is not None):
        return None
    if part is None:
        return frame_in(session, frame, size)
    if len(part) != size:
        return None
    return wire.from_wire(part.buffer, frame.rows, frame.columns, frame.dtype)
