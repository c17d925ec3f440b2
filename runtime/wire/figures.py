"""What STATUS tells of the daemon's work."""

from __future__ import annotations

import msgspec

from scanside.runtime.wire.words import Outcome, Reason


class Counters(msgspec.Struct, kw_only=True):
    """RESULTs that were sent since the daemon started; `sessions` and `queue` are as of now.

    closed_peers: sessions ended because the peer was gone or did not read its results.
    errors: ERROR messages sent. queue: admitted frames without an answer. streams: of the sessions
    that are open; they are never named, since clients choose the names.
    """

    enhanced: int = 0
    bypassed: dict[str, int] = {}
    refused: dict[str, int] = {}
    sessions: int = 0
    streams: int = 0
    closed_peers: int = 0
    errors: int = 0
    queue: int = 0

    def count(self, outcome: Outcome, reason: Reason | None) -> None:
        if reason is None:
            self.enhanced += 1
        else:
            by_reason = self.refused if outcome is Outcome.REFUSED else self.bypassed
            by_reason[reason.value] = by_reason.get(reason.value, 0) + 1


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast the daemon goes. frames_per_second: RESULTs over the last seconds. p50_ms, p99_ms:
    from receipt to RESULT, of the last enhanced frames; `frames` says of how many, 0 of none."""

    frames_per_second: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    frames: int = 0


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """What the model removes from one modality's live frames, beside the bundle's golden frames:
    see `scanside.runtime.daemon.drift`.

    drifting: "too little", "too much", "shifted", or empty. frames: seen so far. streams: so many
    of them drift by themselves.
    """

    modality: str
    drifting: str
    strength: float
    shift: float
    frames: int
    streams: int
