"""The daemon: its loop and its life.

The thread that calls `Daemon.run` is the socket thread. It alone owns the ZeroMQ sockets, the
sessions and the state; it sleeps in one poll until a message comes, an inference thread rings or a
deadline is due; it never blocks on a send, and no inference and no loading runs on it.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

import zmq

from scanside.runtime.daemon.commands import Commands
from scanside.runtime.daemon.control import ControlSocket
from scanside.runtime.daemon.inference import RETRY_S
from scanside.runtime.daemon.journal import event, failure
from scanside.runtime.daemon.loading import Load, Source
from scanside.runtime.daemon.mailroom import Mailroom
from scanside.runtime.daemon.models import Models
from scanside.runtime.daemon.notify import Notifier
from scanside.runtime.daemon.reception import Reception
from scanside.runtime.daemon.schedule import Schedule
from scanside.runtime.daemon.states import Life, State
from scanside.runtime.daemon.tally import Tally
from scanside.runtime.daemon.wakeup import Wakeup
from scanside.runtime.errors import ScansideError, SwapError
from scanside.runtime.wire import ModelCard, Reason, Status

CREDIT = 4
SILENCE_S = 60.0
DRAIN_S = 5.0
JOIN_S = 1.0
MESSAGES_PER_TURN = 16
SWITCH_INTERVAL_S = 0.001
"""With Python's own 5 ms an inference thread that is busy in Python holds up the socket thread: 0.5
MB took 5.6 ms instead of 0.9. With less than this the two take turns too often: docs/serving.md."""
LOADING_LIMIT_S = 3600.0
"""Until the first model serves there is no inference to feed the watchdog: the socket thread does,
for so long. A plan takes 10 minutes to build on a Jetson, and has a limit of its own of 30."""


class Daemon:
    """Serves one model on one address. The address is taken at once, and served by `run`.

    load: makes the model ready, on its inference thread.
    bind: tcp (port `*` chooses one) or ipc; without keys, tcp on a loopback address only.
    credit: frames that a client may have unanswered at once.
    silence_s: a session that waits for nothing is closed after so long a silence.
    drain_s: how long the frames that wait may still take after `drain`.
    retry_s: first and longest pause between the self-tests of an engine that fails them.
    on_ready: called once, by `run`'s thread, with the URL and the model.
    control_file: where it takes commands; nowhere without.
    source: where models to swap to come from; without it none can be swapped to.
    notifier: what tells systemd [as the process's environment says].
    keys: folder of its key and its clients' (see `scanside.runtime.curve`); without, nobody needs
    one.

    Raises AddressInUseError or TransportError when `bind` or `control_file` cannot be had,
    KeyFileError where any of the keys cannot be used.
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
        control_file: Path | None = None,
        source: Source | None = None,
        notifier: Notifier | None = None,
        keys: Path | None = None,
    ) -> None:
        self._mail = Mailroom(bind, credit, keys)
        try:
            self._control = ControlSocket(control_file) if control_file else None
        except BaseException:
            self._mail.close()
            raise
        self._notifier = notifier or Notifier()
        self._wakeup = Wakeup()
        self._life = Life(self._state_changed)
        self._schedule = Schedule(self._notifier.alive, self._notifier.tick_s)
        self._reception = Reception(
            self._mail, self._schedule, self._life, credit=credit, silence_s=silence_s
        )
        self._models = Models(
            *(load, source, self._schedule, self._reception, self._life),
            retry_s=retry_s,
            ring=self._wakeup.ring,
            drain=self.drain,
            on_ready=lambda card: on_ready(self.url, card),
            on_progress=self._notifier.state,
        )
        self._commands = Commands(self._models, self._reception.register, self._mail.door)
        self._drain_s = drain_s
        self._drain_wanted = False
        self._reload_wanted = False
        self._drain_until = math.inf
        self._sweep_every = silence_s / 4
        self._next_sweep = 0.0
        self._load_until = time.monotonic() + LOADING_LIMIT_S

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
        if self._mail.door is not None:
            poller.register(self._mail.door.socket, zmq.POLLIN)
        if self._control is not None:
            poller.register(self._control.socket, zmq.POLLIN)
        try:
            self._models.start()
            self._notifier.ready()
            while self._life.state is not State.STOPPED:
                self._turn({source for source, _ in poller.poll(self._patience_ms())})
        finally:
            sys.setswitchinterval(interval)
            self.close()
        if self._models.failure is not None:
            raise self._models.failure

    @property
    def tally(self) -> Tally:
        """What it has counted; any thread may read it."""
        return self._reception.watch.tally

    def status(self) -> Status:
        """What it answers to STATUS; any thread may ask."""
        return self._reception.status()

    def drain(self) -> None:
        """Answer what waits, take no more, stop. Any thread or signal handler may call it."""
        self._drain_wanted = True
        self._wakeup.ring()

    def reload_soon(self) -> None:
        """As the command RELOAD. Any thread or signal handler may call it."""
        self._reload_wanted = True
        self._wakeup.ring()

    def obeying_signals(self) -> AbstractContextManager[None]:
        """While open, SIGTERM and SIGINT drain, SIGHUP reloads. Main thread only."""
        return self._wakeup.on_signals(stop=self.drain, reload=self.reload_soon)

    def close(self) -> None:
        """Give everything back. `run` does so itself; a daemon that never ran needs it."""
        self._schedule.close()
        self._models.join(JOIN_S)
        self._mail.close()
        if self._control is not None:
            self._control.close()
        self._wakeup.close()
        self._notifier.close()

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
        if self._nothing_infers:
            due = min(due, time.monotonic() + self._notifier.tick_s)
        return max(0, math.ceil((due - time.monotonic()) * 1000))

    def _turn(self, ready: set[object]) -> None:
        # Before the news: nothing is enhanced after its deadline, however late this thread looks.
        self._reception.expire(time.monotonic())
        if self._wakeup.fileno() in ready:
            self._wakeup.answer()
            self._models.read_news()
            if self._reload_wanted:
                self._reload_wanted = False
                self._reload()
        if self._control is not None and self._control.socket in ready:
            self._control.answer_one(self._commands)
        if self._mail.door is not None and self._mail.door.socket in ready:
            self._mail.door.answer()
        if self._mail.socket in ready:
            for _ in range(MESSAGES_PER_TURN):
                parcel = self._mail.receive()
                if parcel is None:
                    break
                self._reception.take(*parcel)
        now = time.monotonic()
        if self._nothing_infers and (self._models.is_off or now < self._load_until):
            self._notifier.alive()
        if now >= self._next_sweep:
            self._reception.register.sweep(now)
            self._next_sweep = now + self._sweep_every
        self._drain_step(now)

    @property
    def _nothing_infers(self) -> bool:
        return self._reception.loaded is None or self._models.is_off

    def _drain_step(self, now: float) -> None:
        if self._drain_wanted and self._life.state is not State.DRAINING:
            self._drain_until = now + self._drain_s
            self._life.enter(State.DRAINING)
        if self._life.state is State.DRAINING and (
            not self._reception.waiting or now >= self._drain_until
        ):
            self._reception.bypass_all(Reason.DRAINING)
            self._reception.register.say_bye()
            self._models.give_up_swap(SwapError("the daemon was told to stop"))
            self._life.enter(State.STOPPED)

    def _reload(self) -> None:
        event("command", command="reload")
        try:
            self._commands.reload()
        except ScansideError as error:
            failure("command failed", error)

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
        self._notifier.state(after.value)
        if after is State.DRAINING:
            self._notifier.stopping()
        if after is State.DEGRADED:
            self._reception.bypass_all(Reason.ENGINE_ERROR)
