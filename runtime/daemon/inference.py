"""An inference thread: loads a model, tests it, and runs one frame after the other.

Each model has a thread of its own from its loading to its end. One that is to take over is loaded
and tested while the other still works, then waits for its turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scanside.runtime.allocator import give_freed_memory_back
from scanside.runtime.daemon.journal import failure
from scanside.runtime.daemon.loading import Load, Loaded
from scanside.runtime.daemon.schedule import Schedule
from scanside.runtime.daemon.sessions import Job
from scanside.runtime.daemon.sharing import place_of_result
from scanside.runtime.daemon.states import State
from scanside.runtime.errors import EngineError, NonFiniteError
from scanside.runtime.guard import check_result
from scanside.runtime.wire import Reason

ERRORS_IN_A_ROW = 3
"""So many failed frames, one after the other, are the engine's fault and not a frame's."""
RETRY_S = (1.0, 60.0)
"""Pause after the first failed self-test of an engine, doubling up to the second figure."""


@dataclass(frozen=True)
class Arrived:
    """The model came to `state`; `loaded` comes along with READY, and is kept by the store."""

    state: State
    loaded: Loaded | None = None


@dataclass(frozen=True)
class Failed:
    """The thread has ended: there will be no model."""

    error: Exception


@dataclass(frozen=True)
class Advanced:
    """How far it is within `state`, in words."""

    state: State
    progress: str


News = Arrived | Advanced | Failed | Job


class Inference(threading.Thread):
    """Tells everything through `post`, itself first, which must be safe to call from this thread.

    Daemonic: a network that never comes back must not keep the process alive.
    """

    def __init__(
        self,
        load: Load,
        schedule: Schedule,
        post: Callable[[Inference, News], None],
        retry_s: tuple[float, float] = RETRY_S,
    ) -> None:
        super().__init__(name="inference", daemon=True)
        self._load = load
        self._schedule = schedule
        self._post_as = post
        self._retry_s = retry_s

    def _post(self, news: News) -> None:
        self._post_as(self, news)

    def run(self) -> None:
        try:
            loaded = self._load(self._report)
            try:
                self._post(Arrived(State.SELF_TEST))
                loaded.check()
                loaded.keep()
                self._post(Arrived(State.READY, loaded))
                if self._schedule.wait_for_turn(self):
                    self._serve(loaded)
            finally:
                loaded.engine.close()
                give_freed_memory_back()
        except Exception as error:  # noqa: BLE001 - raised again by the daemon's own thread
            self._post(Failed(error))

    def _report(self, state: State, progress: str = "") -> None:
        self._post(Advanced(state, progress) if progress else Arrived(state))

    def _serve(self, loaded: Loaded) -> None:
        failures = 0
        while (job := self._schedule.take(self)) is not None:
            worked = _infer(loaded, job)
            # Not on a thread of its own beside the next frame: the two took Python's lock from each
            # other so often that four clients got no more frames a second.
            _guard(loaded, job)
            job.finished = time.monotonic()
            self._post(job)
            del job  # or its memory would stay until the next frame comes
            failures = 0 if worked else failures + 1
            if failures == ERRORS_IN_A_ROW:
                self._post(Arrived(State.DEGRADED))
                self._recover(loaded)
                failures = 0

    def _recover(self, loaded: Loaded) -> None:
        """Return when the engine passes its self-test again, or there is no more work for it."""
        # The first without a pause: one client's impossible frames must not keep others waiting.
        pause, (following, longest) = 0.0, self._retry_s
        while not self._schedule.over_within(self, pause):
            self._post(Arrived(State.SELF_TEST))
            try:
                loaded.check()
            except Exception as error:  # noqa: BLE001 - whatever it is, the engine is not fit
                failure("self-test failed", error)
                self._post(Arrived(State.DEGRADED))
                pause = min(2 * pause or following, longest)
            else:
                self._post(Arrived(State.READY, loaded))
                return


def _infer(loaded: Loaded, job: Job) -> bool:
    """Whether the engine worked. A finite result that the guard stops counts as work: it may be the
    frame's fault, and one client's odd frames must not have the engine tested all day."""
    job.started = time.monotonic()
    job.card = loaded.card
    try:
        batch = job.pixels[np.newaxis]
        job.prepared = time.monotonic()
        scale = loaded.card.scale
        place = place_of_result(job, scale)
        room = None if place is None else place[np.newaxis]
        output = loaded.engine.run(batch, [job.frame.facts], room)
        rows, columns = job.pixels.shape
        if output.shape != (1, rows * scale, columns * scale) or output.dtype != batch.dtype:
            raise EngineError("the engine gave pixels of another shape or type")
        if room is not None and output is not room:
            np.copyto(room, output)
        job.in_slot = room is not None
        job.output = output[0] if room is None else room[0]
    except NonFiniteError as error:
        failure("engine error", error)
        job.fault = Reason.GUARD
        return False
    except Exception as error:  # noqa: BLE001 - the frame is passed on as it came
        failure("engine error", error)
        return False
    return True


def _guard(loaded: Loaded, job: Job) -> None:
    """Take the output from a frame that the model changed more than it may."""
    if job.output is None:
        return
    output, job.output = job.output, None
    try:
        job.change, within = check_result(loaded.manifest, job.pixels, output, job.frame.facts)
    except Exception as error:  # noqa: BLE001 - the frame is passed on as it came
        failure("guard failed", error)
        return
    if within:
        job.output = output
    else:
        job.fault = Reason.GUARD
