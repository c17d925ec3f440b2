"""What can be seen of the daemon from outside: the one source of STATUS and metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence

from scanside.runtime import wire
from scanside.runtime.daemon import journal
from scanside.runtime.daemon.drift import DriftMonitor, Window
from scanside.runtime.daemon.loading import Loaded
from scanside.runtime.daemon.sessions import Job, Session
from scanside.runtime.daemon.states import State
from scanside.runtime.daemon.tally import Tally
from scanside.runtime.wire import Reason

MODALITIES_TOLD = 8
"""A header has room for so many."""
PACE_AGE_S = 0.02
"""How old a pace may be: percentiles of a thousand results for every STATUS of a flood of them held
up everybody's frames."""


class Watch:
    """Belongs to the socket thread; `status` and the tally may be read by any thread."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._drift = DriftMonitor(_tell_drift)
        self._guarded = journal.Seldom("result out of bounds")
        self._began = time.monotonic()
        self._pace: tuple[float, wire.Pace] = (-1.0, wire.Pace())

    def inferred(self, job: Job, loaded: Loaded | None) -> None:
        """A frame came back from the engine. loaded: the model that is active now."""
        if job.output is None and job.fault is Reason.GUARD:
            self._guarded.tell(session=job.session.name)
        if loaded is None or job.change is None or job.card is not loaded.card:
            return
        golden = loaded.manifest.golden_noise
        if golden is not None:
            stream = job.session.name, job.frame.stream
            model, modality = loaded.card.identity, job.frame.facts.modality
            self._drift.add(model, modality, *stream, job.change, golden)

    def ended(self, session: Session) -> None:
        self._drift.forget(session.name)

    def status(
        self, state: State, loaded: Loaded | None, sessions: Sequence[Session]
    ) -> wire.Status:
        counters = self.tally.counters
        counters.sessions = len(sessions)
        counters.streams = sum(len(session.last_seq) for session in sessions)
        counters.queue = sum(len(session.unanswered) for session in sessions)
        drift = sorted(self._drift.status(), key=lambda one: not (one.drifting or one.streams))
        return wire.Status(
            state=state.value,
            model=loaded.card if loaded else None,
            counters=counters,
            uptime_s=time.monotonic() - self._began,
            pace=self._recent_pace(),
            guarded=loaded is not None and loaded.manifest.guard is not None,
            drifting=any(one.drifting or one.streams for one in drift),
            drift=tuple(drift[:MODALITIES_TOLD]),
        )

    def _recent_pace(self) -> wire.Pace:
        now = time.monotonic()
        taken, pace = self._pace
        if now - taken > PACE_AGE_S:
            pace = self.tally.pace()
            self._pace = now, pace
        return pace


def _tell_drift(modality: str, session: str, window: Window) -> None:
    fields: dict[str, object] = {
        "modality": modality,
        "drift": window.kind.value if window.kind else "over",
        "strength": round(window.strength, 4),
        "shift": round(window.shift, 4),
        "frames": window.frames,
    }
    journal.event("drift", **fields, **({"session": session} if session else {}))
