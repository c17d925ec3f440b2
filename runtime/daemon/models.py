"""The model that serves, the one that is to take over, and what can be commanded of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from scanside.runtime import control
from scanside.runtime.daemon.control import Tell
from scanside.runtime.daemon.inference import Advanced, Arrived, Failed, Inference, News
from scanside.runtime.daemon.journal import event, failure
from scanside.runtime.daemon.loading import Load, Loaded, Source
from scanside.runtime.daemon.reception import Reception
from scanside.runtime.daemon.schedule import Schedule
from scanside.runtime.daemon.sessions import Job
from scanside.runtime.daemon.states import Life, State
from scanside.runtime.daemon.swap import Candidate
from scanside.runtime.errors import SwapError
from scanside.runtime.signing import Trust
from scanside.runtime.wire import ModelCard


class Models:
    """Belongs to the socket thread, which it asks by `ring` to call `read_news`.

    load: makes the first model ready. source: where others come from, or None. retry_s: see
    `Inference`. drain: stops the daemon. on_ready: called once, when the first model is.
    on_progress: told the state and how far the first model's loading is within it.
    failure: what ended the loading of the first model.
    """

    def __init__(
        self,
        load: Load,
        source: Source | None,
        schedule: Schedule,
        reception: Reception,
        life: Life,
        *,
        retry_s: tuple[float, float],
        ring: Callable[[], None],
        drain: Callable[[], None],
        on_ready: Callable[[ModelCard], None],
        on_progress: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.failure: Exception | None = None
        self._source = source
        self._schedule = schedule
        self._reception = reception
        self._life = life
        self._retry_s = retry_s
        self._ring = ring
        self.drain = drain
        self._on_ready = on_ready
        self._on_progress = on_progress
        self._news: deque[tuple[Inference, News]] = deque()
        self._candidate: Candidate | None = None
        self._serving: Inference | None = Inference(load, schedule, self._post, retry_s)
        schedule.hand_to(self._serving)
        self._threads = [self._serving]

    def start(self) -> None:
        """Begin to load the first model."""
        self._threads[0].start()

    @property
    def is_off(self) -> bool:
        """Whether the model that served was taken off and there is no other."""
        return self._serving is None

    def read_news(self) -> None:
        """Act on what the inference threads told."""
        while self._news:
            source, news = self._news.popleft()
            if isinstance(news, Job):
                self._reception.inferred(news)
            elif self._life.state is State.DRAINING:
                continue  # whatever became of the model: this state has one way out
            elif self._candidate is not None and source is self._candidate.inference:
                self._read_candidate(self._candidate, news)
            elif source is not self._serving:
                continue  # a model that was relieved
            elif isinstance(news, Advanced):
                self._on_progress(f"{news.state.value}: {news.progress}")
            elif isinstance(news, Failed):
                failure("model failed", news.error)
                self.failure = news.error
                self.drain()
            else:
                self._arrived(news)

    def join(self, seconds: float) -> None:
        """Wait for the threads, whose schedule has been closed, this long for each."""
        for one in self._threads:
            if one.is_alive():
                one.join(seconds)

    def give_up_swap(self, why: SwapError) -> None:
        if self._candidate is not None:
            self._candidate.give_up(why)

    def _post(self, source: Inference, news: News) -> None:
        """Runs on an inference thread."""
        self._news.append((source, news))
        self._ring()

    def _arrived(self, news: Arrived) -> None:
        first = news.loaded is not None and self._reception.loaded is None
        if news.loaded is not None:
            self._reception.loaded = news.loaded
        self._life.enter(news.state)
        if first and news.loaded is not None:
            self._on_ready(news.loaded.card)

    def _read_candidate(self, candidate: Candidate, news: Arrived | Advanced | Failed) -> None:
        if isinstance(news, Failed):
            self._candidate = None
            candidate.give_up(news.error)
            return
        if isinstance(news, Advanced):
            candidate.advanced(news.progress)
            return
        candidate.enter(news.state)
        if news.loaded is not None:
            self._candidate = None
            self._take_over(candidate.inference, news.loaded)
            candidate.took_over(news.loaded)

    def _take_over(self, inference: Inference, loaded: Loaded) -> None:
        """Between two frames: the one that is being inferred is finished by the model before."""
        self._reception.take_over(loaded)
        self._schedule.hand_to(inference)
        self._serving = inference
        # The other model's troubles are over; this one has passed its self-test.
        if self._life.state is State.DEGRADED:
            self._life.enter(State.SELF_TEST)
        if self._life.state is State.SELF_TEST:
            self._life.enter(State.READY)

    # Commands: see scanside.runtime.daemon.control

    def situation(self) -> control.Situation:
        return control.Situation(
            state=self._life.state.value,
            model=self._reception.loaded.card if self._reception.loaded else None,
            swap=self._candidate.state.value if self._candidate else "",
            store=self._source.folder if self._source else "",
        )

    def swap(self, order: control.Swap, tell: Tell) -> None:
        """Begin to load the model that `order` names; `tell` is told how it goes."""
        running = self._reception.loaded
        if self._source is None:
            raise SwapError("this daemon serves no bundle, it cannot swap it")
        if running is None or self._life.state in (State.DRAINING, State.STOPPED):
            raise SwapError(
                f"the daemon is {self._life.state.value}: it swaps a model that serves",
                next_step="wait until it is READY",
            )
        if self._candidate is not None:
            raise SwapError("another swap is under way", next_step="wait until it is done")
        if bool(order.file) == order.rollback or not (order.rollback or order.file[0] == "/"):
            raise SwapError("a swap names the absolute path of one file, or rolls back")
        file = None if order.rollback else Path(order.file)
        load = self._source.next(file, force=order.force, running=running.manifest)
        inference = Inference(load, self._schedule, self._post, self._retry_s)
        self._candidate = Candidate(inference, tell)
        self._threads = [*(one for one in self._threads if one.is_alive()), inference]
        inference.start()

    def reload(self) -> str:
        """Hold the running model's key against the keys that are trusted now. A model whose key was
        revoked is taken off: its frames are bypassed until another one is swapped to.

        Raises KeyFileError, and changes nothing, where the trusted keys cannot be read.
        """
        trust = Trust.here()
        told = f"{len(trust.keys)} trusted keys"
        running = self._reception.loaded
        if running is None or not running.signer or self.is_off:
            return told
        if running.signer in trust.revoked and self._life.state is not State.DRAINING:
            event("key revoked", identity=running.card.identity)
            self._take_off()
            return f"{told}; the running model's was revoked: frames are bypassed, swap it"
        if running.signer not in trust.keys:
            return f"{told}; the running model's is none of them: it will not start again"
        return told

    def _take_off(self) -> None:
        self._schedule.hand_to(None)
        self._serving = None
        if self._life.state is not State.DEGRADED:
            self._life.enter(State.DEGRADED)
