"""Which frame is next: one at a time from each session in turn, so that no client starves."""

from __future__ import annotations

import threading
from collections import deque

from scanside.runtime.daemon.sessions import Job, Session


class Schedule:
    """Frames that wait for the inference thread. Safe to use from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # In the order of whose turn it is; a session without waiting frames is not in it.
        self._turns: dict[Session, deque[Job]] = {}
        self._closed = False

    def put(self, job: Job) -> None:
        with self._changed:
            self._turns.setdefault(job.session, deque()).append(job)
            self._changed.notify()

    def take(self) -> Job | None:
        """The next frame, as soon as there is one; None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._turns or self._closed)
            if self._closed:
                return None
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

    def closed_within(self, seconds: float) -> bool:
        """Wait for `close`, at most this long; whether it came."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, seconds)
