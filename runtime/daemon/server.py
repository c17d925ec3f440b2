"""The daemon: its loop and its life.

The thread that calls `Daemon.run` is the socket thread. It alone owns the ZeroMQ socket, the
sessions and the state; it sleeps in one poll until a message comes, the inference thread rings or a
deadline is due; it never blocks on a send, and no inference runs on it.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

import zmq

from scanside.runtime.daemon.inference import RETRY_S, Arrived, Failed, Inference, News
from scanside.runtime.daemon.journal import event, failure
from scanside.runtime.daemon.loading import Load
from scanside.runtime.daemon.mailroom import Mailroom
from scanside.runtime.daemon.reception import Reception
from scanside.runtime.daemon.schedule import Schedule
from scanside.runtime.daemon.sessions import Job
from scanside.runtime.daemon.states import Life, State
from scanside.runtime.daemon.wakeup import Wakeup
from scanside.runtime.wire import ModelCard, Reason

CREDIT = 4
SILENCE_S = 60.0
DRAIN_S = 5.0
JOIN_S = 1.0
MESSAGES_PER_TURN = 16
SWITCH_INTERVAL_S = 0.0002
"""With Python's own 5 ms a busy inference thread holds up the socket thread: 0.5 MB took 5.6 ms
instead of 0.9."""


class Daemon:
    """Serves one model on one address. The address is taken at once, and served by `run`.

    load: makes the model ready, on the inference thread.
    bind: tcp on a loopback address (port `*` chooses one), or ipc.
    credit: frames that a client may have unanswered at once.
    silence_s: a session that waits for nothing is closed after so long a silence.
    drain_s: how long the frames that wait may still take after `drain`.
    retry_s: first and longest pause between the self-tests of an engine that fails them.
    on_ready: called once, by `run`'s thread, with the URL and the model.

    Raises AddressInUseError or TransportError when `bind` cannot be had.
    """

    def __init__(
        self,
        load: Load,
        bind: str,
        *,
        credit: int = CREDIT,
        silence_s: float = SILENCE_S,
        drain_s: float = DRAIN_S,
        retry_s: tuple[float, float] = RETRY_S,
        on_ready: Callable[[str, ModelCard], None] = lambda url, card: None,
    ) -> None:
        self._mail = Mailroom(bind, credit)
        self._wakeup = Wakeup()
        self._life = Life(self._state_changed)
        self._schedule = Schedule()
        self._reception = Reception(
            self._mail, self._schedule, self._life, credit=credit, silence_s=silence_s
        )
        self._news: deque[News] = deque()
        self._inference = Inference(load, self._schedule, self._post, retry_s)
        self._failure: Exception | None = None
        self._on_ready = on_ready
        self._drain_s = drain_s
        self._drain_wanted = False
        self._drain_until = math.inf
        self._sweep_every = silence_s / 4
        self._next_sweep = 0.0

    @property
    def url(self) -> str:
        """Where it listens, with the port that was chosen for `*`."""
        return self._mail.url

    def run(self) -> None:
        """Serve until drained. Raises whatever loading the model ended with, if it failed."""
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        event("listening", url=self.url)
        poller = zmq.Poller()
        poller.register(self._mail.socket, zmq.POLLIN)
        poller.register(self._wakeup.fileno(), zmq.POLLIN)
        try:
            self._inference.start()
            while self._life.state is not State.STOPPED:
                self._turn({source for source, _ in poller.poll(self._patience_ms())})
        finally:
            sys.setswitchinterval(interval)
            self.close()
        if self._failure is not None:
            raise self._failure

    def drain(self) -> None:
        """Answer what waits, take no more, stop. Any thread or signal handler may call it."""
        self._drain_wanted = True
        self._wakeup.ring()

    def draining_on_signals(self) -> AbstractContextManager[None]:
        """While open, SIGTERM and SIGINT drain. Main thread only."""
        return self._wakeup.on_signals(self.drain)

    def close(self) -> None:
        """Give everything back. `run` does so itself; a daemon that never ran needs it."""
        self._schedule.close()
        if self._inference.is_alive():
            self._inference.join(JOIN_S)
        self._mail.close()
        self._wakeup.close()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _patience_ms(self) -> int:
        due = min(self._next_sweep, self._drain_until, self._reception.next_deadline)
        return max(0, math.ceil((due - time.monotonic()) * 1000))

    def _turn(self, ready: set[object]) -> None:
        # Before the news: nothing is enhanced after its deadline, however late this thread looks.
        self._reception.expire(time.monotonic())
        if self._wakeup.fileno() in ready:
            self._wakeup.answer()
            self._read_news()
        if self._mail.socket in ready:
            for _ in range(MESSAGES_PER_TURN):
                parcel = self._mail.receive()
                if parcel is None:
                    break
                self._reception.take(*parcel)
        now = time.monotonic()
        if now >= self._next_sweep:
            self._reception.sweep(now)
            self._next_sweep = now + self._sweep_every
        self._drain_step(now)

    def _drain_step(self, now: float) -> None:
        if self._drain_wanted and self._life.state is not State.DRAINING:
            self._drain_until = now + self._drain_s
            self._life.enter(State.DRAINING)
        if self._life.state is State.DRAINING and (
            not self._reception.waiting or now >= self._drain_until
        ):
            self._reception.bypass_all(Reason.DRAINING)
            self._reception.say_bye()
            self._life.enter(State.STOPPED)

    def _post(self, news: News) -> None:
        """Runs on the inference thread."""
        self._news.append(news)
        self._wakeup.ring()

    def _read_news(self) -> None:
        while self._news:
            news = self._news.popleft()
            if isinstance(news, Job):
                self._reception.inferred(news)
            elif self._life.state is State.DRAINING:
                continue  # whatever became of the model: this state has one way out
            elif isinstance(news, Failed):
                failure("model failed", news.error)
                self._failure = news.error
                self._drain_wanted = True
            else:
                self._arrived(news)

    def _arrived(self, news: Arrived) -> None:
        first = news.loaded is not None and self._reception.loaded is None
        if news.loaded is not None:
            self._reception.loaded = news.loaded
        self._life.enter(news.state)
        if first and news.loaded is not None:
            self._on_ready(self.url, news.loaded.card)

    def _state_changed(self, before: State, after: State) -> None:
        model: dict[str, object] = {}
        if after is State.READY and self._reception.loaded is not None:
            card = self._reception.loaded.card
            model = {
                "model": card.name,
                "version": card.version,
                "identity": card.identity,
                "engine": card.engine,
                "signed": card.signed,
            }
        event("state", before=before.value, after=after.value, **model)
        if after is State.DEGRADED:
            self._reception.bypass_all(Reason.ENGINE_ERROR)
