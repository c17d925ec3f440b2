"""The frames that were admitted and have no answer yet: how many, how large, due when."""

from __future__ import annotations

import math

from scanside.runtime.daemon.sessions import Job


class Ledger:
    """Belongs to the socket thread. bytes: of the pixels of all its frames."""

    def __init__(self) -> None:
        self.bytes = 0
        self._deadlines: dict[Job, float] = {}

    def enter(self, job: Job) -> None:
        job.session.unanswered[job.key] = job
        self.bytes += job.pixels.nbytes
        if job.frame.deadline_ms is not None:
            self._deadlines[job] = job.received + job.frame.deadline_ms / 1000

    def strike(self, job: Job) -> None:
        """It is answered, or nobody waits for its answer any more."""
        job.answered = True
        del job.session.unanswered[job.key]
        self._deadlines.pop(job, None)
        self.bytes -= job.pixels.nbytes

    @property
    def next_deadline(self) -> float:
        """On time.monotonic; infinite when no frame has one."""
        return min(self._deadlines.values(), default=math.inf)

    def due(self, now: float) -> list[Job]:
        """Those whose deadline has come."""
        return [job for job, deadline in self._deadlines.items() if deadline <= now]
