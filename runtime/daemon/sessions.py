"""Sessions and their frames: what the socket thread knows of each client."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

import zmq

from scanside.runtime.frame import Pixels
from scanside.runtime.guard import Change
from scanside.runtime.memory.ring import Ring
from scanside.runtime.wire import DEADLINE_LIMIT_MS, Frame, Mode, ModelCard, Reason, Timings

MAX_STREAMS = 64
"""Streams of one session: each costs the daemon the memory of its last number."""
LARGEST_PADDING = 1 << 31


@dataclass(eq=False, slots=True)
class Job:
    """One admitted frame, from its receipt to its one answer. Times are of time.monotonic.

    pixels: (R, C), where they were received. part: the message that they are in, ready to be sent
    back; None when they are in the frame's slot of `ring`, the memory that the session shared then.
    An inference thread writes `card` (its model's) to `fault`, and then hands the job back;
    everything else belongs to the socket thread. output: None when there is none to show, and
    `fault` says why. in_slot: whether it is in the frame's slot already. change: what the model
    did, None when the frame held nothing to see.
    """

    session: Session
    frame: Frame
    part: zmq.Frame | None
    pixels: Pixels
    received: float
    ring: Ring | None = None
    answered: bool = False
    card: ModelCard | None = None
    started: float = 0.0
    prepared: float = 0.0
    finished: float = 0.0
    output: Pixels | None = None
    in_slot: bool = False
    change: Change | None = None
    fault: Reason = Reason.ENGINE_ERROR

    @property
    def key(self) -> tuple[str, int]:
        return self.frame.stream, self.frame.seq

    def timings(self, now: float) -> Timings:
        """Where the time went until `now`; an engine's work that is not done does not count."""
        if not self.finished:
            return Timings(queue=((self.started or now) - self.received) * 1000)
        return Timings(
            queue=(self.started - self.received) * 1000,
            preparation=(self.prepared - self.started) * 1000,
            inference=(self.finished - self.prepared) * 1000,
            reply=(now - self.finished) * 1000,
        )


@dataclass(eq=False, slots=True)
class Session:
    """One client, known by its ZeroMQ routing id. `unanswered` holds its admitted frames; `shares`
    says whether it may share memory with the daemon, and `ring` is what they share; `client` is the
    id of its key, empty where no keys are asked for."""

    peer: bytes
    version: int
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    heard: float = field(default_factory=time.monotonic)
    unanswered: dict[tuple[str, int], Job] = field(default_factory=dict)
    last_seq: dict[str, int] = field(default_factory=dict)
    shares: bool = False
    ring: Ring | None = None
    client: str = ""

    def is_new(self, frame: Frame) -> bool:
        """Whether `frame` comes after every frame of its stream, which it then is part of."""
        if frame.seq <= self.last_seq.get(frame.stream, -1):
            return False
        self.last_seq[frame.stream] = frame.seq
        return True

    def has_room_for(self, stream: str) -> bool:
        return stream in self.last_seq or len(self.last_seq) < MAX_STREAMS

    def superseded_by(self, frame: Frame) -> list[Job]:
        """Frames of a `latest` stream that this newer one makes pointless, if they still wait."""
        if frame.mode is not Mode.LATEST:
            return []
        return [
            job
            for job in self.unanswered.values()
            if job.frame.stream == frame.stream and job.frame.mode is Mode.LATEST
        ]


def has_usable_numbers(frame: Frame) -> bool:
    """Whether the numbers that admission does not look at can be computed with."""
    padding = frame.facts.padding or (0, 0)
    in_time = frame.deadline_ms is None or 0 < frame.deadline_ms <= DEADLINE_LIMIT_MS
    return in_time and all(abs(value) < LARGEST_PADDING for value in padding)
