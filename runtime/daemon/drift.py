"""Whether what a model removes from live frames is still like what it was made to remove.

Each frame's change (`scanside.runtime.guard`) is held against the bundle's golden statistics:
`strength` is its deviation over the golden frames' deviation, `shift` its mean over its own
deviation. A window's median counts, so that single odd slices do not.

It cannot tell a good picture from a bad one. Good series differ 20-fold and more among themselves,
by anatomy, dose and reconstruction, so that only gross faults stand out: a model that does nothing,
one that removes more than its worst training noise, one that makes everything brighter. Lost
contrast, invented detail or half the strength look the same as another protocol.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from statistics import median

from scanside.runtime.guard import Change
from scanside.runtime.manifest import GoldenNoise
from scanside.runtime.wire import Drift

WINDOW = 64
ENOUGH = 32
EVERY = 8
"""Frames in a window, before its first verdict, and between two."""
STREAMS_KEPT = 256

# Medians of what four real bundles did to real series and single files (7 CT, 5 MR), as they are
# and with each level of noise that the recipes train on, in November 2026 (docs/operating.md):
#              denoise-ct      denoise-mr      sr-ct           sr-mr
#   strength   0.14 to 3.1     0.42 to 5.2     0.03 to 2.2     0.25 to 1.2
#   shift      0.00 to 0.11    0.18 to 0.81    0.01 to 0.51    0.02 to 0.33
# The limits lie outside of them all, and a window of nothing (0) or of a mere offset beyond.
LITTLE = 0.02
MUCH = 6.0
SHIFT = 2.0
RELIEF = 0.8
"""A verdict is taken back only when its figure is this much better than the limit."""


class Kind(str, Enum):
    TOO_LITTLE = "too little"
    TOO_MUCH = "too much"
    SHIFTED = "shifted"


class Window:
    """The last frames of one modality or one stream. kind: the verdict, None while all is well."""

    def __init__(self) -> None:
        self.kind: Kind | None = None
        self.frames = 0
        self.strength = self.shift = 0.0
        self._strengths: deque[float] = deque(maxlen=WINDOW)
        self._shifts: deque[float] = deque(maxlen=WINDOW)

    def add(self, strength: float, shift: float) -> bool:
        """Whether the verdict changed."""
        self._strengths.append(strength)
        self._shifts.append(shift)
        self.frames += 1
        if self.frames % EVERY:
            return False
        self.strength, self.shift = median(self._strengths), median(self._shifts)
        before, self.kind = self.kind, self._verdict()
        return self.kind is not before

    def _verdict(self) -> Kind | None:
        if len(self._strengths) < ENOUGH:
            return None
        over = {
            Kind.SHIFTED: self.shift / SHIFT,
            Kind.TOO_LITTLE: LITTLE / max(self.strength, 1e-9),
            Kind.TOO_MUCH: self.strength / MUCH,
        }
        if self.kind is not None and over[self.kind] > RELIEF:
            return self.kind
        return next((kind for kind, share in over.items() if share > 1), None)


class DriftMonitor:
    """Of one daemon; belongs to the socket thread.

    told: called with every change of a verdict: the modality, the session whose stream it is (empty
    for all streams together), and the window. Streams are never named: clients choose those names.
    """

    def __init__(self, told: Callable[[str, str, Window], None]) -> None:
        self._told = told
        self._model = ""
        self._modalities: dict[str, Window] = {}
        self._streams: dict[tuple[str, str, str], Window] = {}

    def add(
        self,
        model: str,
        modality: str,
        session: str,
        stream: str,
        change: Change,
        golden: GoldenNoise,
    ) -> None:
        """One frame that held something to see. model: its identity; another one begins anew."""
        if golden.standard_deviation == 0:
            return
        if model != self._model:
            self._model = model
            self._modalities.clear()
            self._streams.clear()
        strength, shift = measure(change, golden)
        window = self._modalities.setdefault(modality, Window())
        if window.add(strength, shift):
            self._told(modality, "", window)
        key = (session, stream, modality)
        window = self._streams.pop(key) if key in self._streams else Window()
        self._streams[key] = window  # the last of the dict is the last that was used
        if len(self._streams) > STREAMS_KEPT:
            del self._streams[next(iter(self._streams))]
        if window.add(strength, shift):
            self._told(modality, session, window)

    def forget(self, session: str) -> None:
        """The session has ended: its streams count no longer."""
        for key in [key for key in self._streams if key[0] == session]:
            del self._streams[key]

    def status(self) -> tuple[Drift, ...]:
        """Per modality; any thread may ask."""
        streams = list(self._streams.items())
        return tuple(
            Drift(
                modality=modality,
                drifting=window.kind.value if window.kind else "",
                strength=window.strength,
                shift=window.shift,
                frames=window.frames,
                streams=sum(
                    one.kind is not None for (_, _, its), one in streams if its == modality
                ),
            )
            for modality, window in list(self._modalities.items())
        )


def measure(change: Change, golden: GoldenNoise) -> tuple[float, float]:
    """strength and shift of one frame; what is next to no change has no shift."""
    unit = golden.standard_deviation
    if change.rms < LITTLE * unit:
        return change.deviation / unit, 0.0
    return change.deviation / unit, abs(change.mean) / max(change.deviation, 1e-3 * change.rms)
