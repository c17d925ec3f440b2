"""What the daemon counts: one tally for STATUS and for Prometheus.

Written by the socket thread, a few additions per frame; any thread may read it, since every single
reading is atomic in CPython.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field

from scanside.runtime.wire import Counters, ModelCard, Outcome, Pace, Reason, Timings

RECENT = 1024
"""Results that percentiles are taken of."""
PACE_S = 10.0
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
MODELS = 16
"""Models whose figures are kept; a swap adds one."""


@dataclass(slots=True)
class ModelTally:
    """Of one model, by name and version. Times are sums over enhanced frames, in ms."""

    enhanced: int = 0
    failed: dict[str, int] = field(default_factory=lambda: {one.value: 0 for one in Reason})
    total: float = 0.0
    queue: float = 0.0
    preparation: float = 0.0
    inference: float = 0.0
    reply: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))

    def add(self, timings: Timings, total: float) -> None:
        self.enhanced += 1
        self.total += total
        self.queue += timings.queue
        self.preparation += timings.preparation
        self.inference += timings.inference
        self.reply += timings.reply
        self.buckets[bisect_left(BUCKETS_S, total / 1000)] += 1


class Tally:
    def __init__(self) -> None:
        self.counters = Counters()
        self.models: dict[tuple[str, str], ModelTally] = {}
        # When it was sent and, of an enhanced frame, how many ms after its receipt.
        self._recent: deque[tuple[float, float | None]] = deque(maxlen=RECENT)

    def count(
        self, outcome: Outcome, reason: Reason | None, card: ModelCard | None, timings: Timings
    ) -> None:
        """One RESULT that went out. card: the model that made it or would have."""
        self.counters.count(outcome, reason)
        total = None
        if card is not None:
            model = self._model(card)
            if reason is None:
                total = timings.queue + timings.preparation + timings.inference + timings.reply
                model.add(timings, total)
            else:
                model.failed[reason.value] += 1
        self._recent.append((time.monotonic(), total))

    def _model(self, card: ModelCard) -> ModelTally:
        key = card.name, card.version
        found = self.models.get(key)
        if found is None:
            if len(self.models) >= MODELS:
                del self.models[next(iter(self.models))]
            found = self.models[key] = ModelTally()
        return found

    def pace(self) -> Pace:
        """How fast it goes, seen over the last results."""
        recent = list(self._recent)
        now = time.monotonic()
        times = [sent for sent, _ in recent if now - sent <= PACE_S]
        # Where RECENT results came in less than PACE_S, those are the time that is seen.
        span = PACE_S if len(times) < RECENT else max(now - times[0], 1e-3)
        durations = sorted(total for _, total in recent if total is not None)
        return Pace(
            frames_per_second=len(times) / span,
            p50_ms=_percentile(durations, 50),
            p99_ms=_percentile(durations, 99),
            frames=len(durations),
        )


def _percentile(ordered: list[float], percent: int) -> float:
    """Nearest rank; 0 of nothing."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0.0
