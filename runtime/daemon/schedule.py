"""Which frame is next: one at a time from each session in turn, so that no client starves."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from scanside.runtime.daemon.sessions import Job, Session

TICK_S = 1.0
"""An idle thread says at least so often that it lives."""


class Schedule:
    """Frames that wait to be inferred, and whose turn to infer it is. Safe from any thread.

    Several models may be about, each with a thread of its own; the one that `hand_to` named gets
    the frames, once the one before it is done with its last.
    """

    def __init__(self, alive: Callable[[], None] = lambda: None, tick_s: float = TICK_S) -> None:
        """alive: called by the thread that infers, for each frame and at least every `tick_s`."""
        self._alive = alive
        self._tick_s = tick_s
        self._changed = threading.Condition()
        # In the order of whose turn it is; a session without waiting frames is not in it.
        self._turns: dict[Session, deque[Job]] = {}
        self._closed = False
        self._holder: object = None
        self._working: object = None

    def hand_to(self, holder: object) -> None:
        """From now on `holder` gets the frames; whoever got them until now is relieved."""
        with self._changed:
            self._holder = holder
            self._changed.notify_all()

    def wait_for_turn(self, holder: object) -> bool:
        """Wait until `holder` may take frames; False once closed."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or (self._holder is holder and self._working is None)
            )
            return not self._closed

    def put(self, job: Job) -> None:
        with self._changed:
            self._turns.setdefault(job.session, deque()).append(job)
            self._changed.notify_all()

    def take(self, holder: object) -> Job | None:
        """The next frame, as soon as there is one; None once relieved or closed.

        The frame that was taken before is done with.
        """
        while True:
            self._alive()
            with self._changed:
                if self._working is holder:
                    self._working = None
                    self._changed.notify_all()
                self._changed.wait_for(lambda: self._turns or self._over(holder), self._tick_s)
                if self._over(holder):
                    return None
                if self._turns:
                    self._working = holder
                    return self._next()

    def _over(self, holder: object) -> bool:
        return self._closed or self._holder is not holder

    def _next(self) -> Job:
        session = next(iter(self._turns))
        waiting = self._turns.pop(session)
        job = waiting.popleft()
        if waiting:
            self._turns[session] = waiting
        return job

    def withdraw(self, job: Job) -> bool:
        """Take back a frame that still waits; False when it does not any more."""
        with self._changed:
            waiting = self._turns.get(job.session)
            if waiting is None or job not in waiting:
                return False
            waiting.remove(job)
            if not waiting:
                del self._turns[job.session]
            return True

    def drop(self, session: Session) -> None:
        """Forget all waiting frames of a session."""
        with self._changed:
            self._turns.pop(session, None)

    def close(self) -> None:
        """Wake whoever waits here, for good."""
        with self._changed:
            self._closed = True
            self._turns.clear()
            self._changed.notify_all()

    def over_within(self, holder: object, seconds: float) -> bool:
        """Wait until `holder` is relieved or all is closed, at most this long; whether it is."""
        until = time.monotonic() + seconds
        while True:
            self._alive()
            with self._changed:
                if self._working is holder:
                    self._working = None
                    self._changed.notify_all()
                left = until - time.monotonic()
                if self._changed.wait_for(lambda: self._over(holder), min(left, self._tick_s)):
                    return True
                if left <= self._tick_s:
                    return False
