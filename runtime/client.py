"""The library that an appliance uses: frames out, results back, never a frame lost.

::

    from scanside.runtime import Client, FrameFacts

    facts = FrameFacts(modality="CT", bits_stored=16, signed=True, intercept=-1024.0)
    with Client("tcp://127.0.0.1:5555") as client:
        result = client.enhance(pixels, facts, deadline_ms=50)
        show(result.pixels, result.outcome)

Whatever happens to the daemon, every frame gets exactly one `Result`: one whose daemon went away
comes back `unanswered`, with its original pixels, and is never sent a second time.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType

import numpy as np
import zmq

from scanside.runtime import wire
from scanside.runtime.connection import Connection
from scanside.runtime.errors import (
    ProtocolError,
    RequestTimeoutError,
    ServerUnreachableError,
    TransportError,
)
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.results import Pending, Result, check_frame, pixels_of
from scanside.runtime.wire import Mode, ModelCard, Outcome, Reason

RECONNECT_S = 0.25
"""How long the first frame after a lost session waits for a new one; the next ones do not wait."""
PONG_S = 1.0


class Client:
    """One session with a daemon, renewed by itself when it is lost.

    url: tcp://HOST:PORT or ipc://PATH. timeout: seconds that the daemon may take to answer HELLO
    or STATUS, and seconds without any RESULT after which frames that wait are `unanswered`.

    One thread, one Client: ZeroMQ sockets must not be shared. Every method raises TransportError
    in a thread (or a forked process) other than the one that made the Client.

    Raises ServerUnreachableError when nobody answers in time, ProtocolError when whoever answers
    speaks something else, TransportError when `url` is no address.
    """

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        self._owner = (os.getpid(), threading.get_ident())
        self._url = url
        self._timeout = timeout
        self._inflight: dict[tuple[str, int], Pending] = {}
        self._next_seq: dict[str, int] = {}
        self._last_result = 0.0
        self._card: ModelCard | None = None
        self._statuses: deque[wire.Status] = deque()
        self._link: Connection | None = None
        self._why_lost = ""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._require_session()
        except BaseException:
            self.close()
            raise

    @property
    def model(self) -> ModelCard | None:
        """The model that answers, None while the daemon has none ready."""
        if self._card is None:
            self._card = self.status().model
        return self._card

    @property
    def credit(self) -> int:
        """How many frames may be on their way at once."""
        welcome = self._link.welcome if self._link else None
        return welcome.credit if welcome else 1

    def enhance(
        self,
        pixels: Pixels,
        facts: FrameFacts,
        *,
        stream: str = "default",
        deadline_ms: float | None = None,
        capture_time: float | None = None,
    ) -> Result:
        """Send one frame and wait for its result.

        pixels: (R, C) pixel words, one of `PIXEL_DTYPES`. deadline_ms: the daemon gives the
        original back when it is not done so many ms after it received the frame. capture_time:
        comes back in the result.

        Raises RefusedFrameError when `pixels` cannot be a frame at all, ProtocolError.
        """
        pending = self._submit(pixels, facts, stream, deadline_ms, Mode.LOSSLESS, capture_time)
        return self._wait(pending)

    def stream(
        self,
        frames: Iterable[tuple[Pixels, FrameFacts]],
        *,
        window: int | None = None,
        stream: str = "default",
        deadline_ms: float | None = None,
        mode: Mode = Mode.LOSSLESS,
    ) -> Iterator[Result]:
        """Yield exactly one result per frame, in order, with up to `window` frames on their way.

        frames: as for `enhance`; each array is copied when it is taken, so that a capture buffer
        may be used again at once. window: by default, and at most, the daemon's credit. mode: on
        a `latest` stream a newer frame supersedes one that still waits.
        """
        on_their_way: deque[Pending] = deque()
        for pixels, facts in frames:
            on_their_way.append(
                self._submit(np.array(pixels), facts, stream, deadline_ms, mode, None)
            )
            self._pump(0)
            while _unanswered(on_their_way) >= min(window or self.credit, self.credit):
                self._take_next(on_their_way[0])
            while on_their_way and on_their_way[0].result:
                yield self._wait(on_their_way.popleft())
        while on_their_way:
            yield self._wait(on_their_way.popleft())

    def status(self) -> wire.Status:
        """The daemon's state, model and counters.

        Raises RequestTimeoutError, or ServerUnreachableError when there is no daemon (any more).
        """
        link = self._require_session()
        self._statuses.clear()
        link.send(wire.StatusRequest())
        until = time.monotonic() + self._timeout
        while not self._statuses:
            left = until - time.monotonic()
            if left <= 0:
                raise RequestTimeoutError(
                    f"{self._url} gave no status within {self._timeout:g} s",
                    next_step="the daemon hangs: look at its log, restart it",
                )
            self._pump(left)
            if self._link is not link:
                raise self._unreachable()
        return self._statuses.popleft()

    def close(self) -> None:
        """End the session. Frames that wait are `unanswered`."""
        self._check_owner()
        self._lose("the client was closed", bye=True)
        self._context.term()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Frames

    def _submit(
        self,
        pixels: Pixels,
        facts: FrameFacts,
        stream: str,
        deadline_ms: float | None,
        mode: Mode,
        capture_time: float | None,
    ) -> Pending:
        self._check_owner()
        check_frame(pixels, stream)
        seq = self._next_seq.get(stream, 0)
        self._next_seq[stream] = seq + 1
        pending = Pending(stream, seq, pixels, capture_time)
        if pixels.nbytes > wire.PIXELS_LIMIT:
            limit = f"over {wire.PIXELS_LIMIT >> 20} MiB"
            pending.settle(Outcome.REFUSED, Reason.TOO_LARGE, None, limit)
            return pending
        while len(self._inflight) >= self.credit:
            self._take_next(next(iter(self._inflight.values())))
        link = self._fresh_session()
        if link is None:
            pending.give_up(self._why_lost)
            return pending
        rows, columns = pixels.shape
        self._inflight[stream, seq] = pending
        pending.sent = time.monotonic()
        frame = wire.Frame(
            stream=stream,
            seq=seq,
            rows=rows,
            columns=columns,
            dtype=pixels.dtype.name,
            facts=facts,
            mode=mode,
            deadline_ms=deadline_ms,
            capture_time=capture_time,
        )
        link.send(frame, pixels)
        return pending

    def _wait(self, pending: Pending) -> Result:
        while pending.result is None:
            self._take_next(pending)
        return pending.result

    def _take_next(self, oldest: Pending) -> None:
        """Wait for the next message while `oldest` waits for its result, but not for ever."""
        left = max(oldest.sent, self._last_result) + self._timeout - time.monotonic()
        if left <= 0:
            self._lose(f"no result within {self._timeout:g} s")
        else:
            self._pump(left)

    def _resolve(self, answer: wire.Result, part: zmq.Frame | None) -> None:
        pending = self._inflight.get((answer.stream, answer.seq))
        if pending is None:
            raise ProtocolError("a result came for a frame that waits for none")
        pixels = pixels_of(answer, part, pending.pixels)
        del self._inflight[answer.stream, answer.seq]
        self._last_result = time.monotonic()
        pending.result = Result(
            stream=answer.stream,
            seq=answer.seq,
            outcome=answer.outcome,
            reason=answer.reason,
            pixels=pixels,
            scale=answer.scale,
            model=answer.model,
            engine=answer.engine,
            signed=answer.signed,
            timings=answer.timings,
            round_trip_ms=(self._last_result - pending.sent) * 1000,
            capture_time=answer.capture_time,
            text=answer.text,
        )

    # The session

    def _pump(self, wait_s: float) -> None:
        """Take in what the daemon says, waiting at most `wait_s` for the first of it."""
        self._check_owner()
        link = self._link
        if link is None:
            return
        try:
            for letter, part in link.receive(wait_s):
                if isinstance(letter, wire.Status):
                    self._statuses.append(letter)
                else:
                    self._resolve(letter, part)
        except ProtocolError as error:
            self._lose(error.message)
            raise
        if link.welcome is not None:
            self._card = self._card or link.welcome.model
        if link.lost:
            self._lose(link.lost)

    def _fresh_session(self) -> Connection | None:
        """A session that works as far as can be told without making a frame wait for a daemon
        that is not there."""
        link = self._link
        if link is not None and link.welcome is not None:
            silence = time.monotonic() - link.heard
            if silence > link.welcome.silence_s / 2 and not self._inflight:
                before = link.pongs  # a PING of the daemon's may be as old as the silence
                link.send(wire.Ping())
                until = time.monotonic() + min(PONG_S, self._timeout)
                while self._link is link and link.pongs == before:
                    left = until - time.monotonic()
                    if left <= 0:
                        self._lose("the daemon does not answer any more")
                    else:
                        self._pump(left)
            else:
                self._pump(0)
        first_try = self._link is None
        return self._session_within(RECONNECT_S if first_try else 0)

    def _require_session(self) -> Connection:
        self._check_owner()
        self._pump(0)
        link = self._session_within(self._timeout)
        if link is None:
            raise self._unreachable()
        return link

    def _session_within(self, wait_s: float) -> Connection | None:
        """The session, connecting anew where there is none; None when no WELCOME came in time."""
        if self._link is None:
            self._link = Connection(self._context, self._url)
            self._card = None
        until = time.monotonic() + wait_s
        left = wait_s
        while self._link is not None and self._link.welcome is None and left >= 0:
            self._pump(left)
            left = until - time.monotonic()
        if self._link is None or self._link.welcome is None:
            return None
        return self._link

    def _lose(self, why: str, *, bye: bool = False) -> None:
        """The session is over: whatever waits for it is unanswered."""
        self._why_lost = why
        link, self._link = self._link, None
        if link is not None:
            link.close(bye=bye)
        waiting = list(self._inflight.values())
        self._inflight.clear()
        for pending in waiting:
            pending.give_up(why)

    def _unreachable(self) -> ServerUnreachableError:
        why = f" ({self._why_lost})" if self._why_lost else ""
        return ServerUnreachableError(
            f"no daemon answers at {self._url} within {self._timeout:g} s{why}",
            next_step="start one with `scanside serve FILE --bind URL`, or check the address",
        )

    def _check_owner(self) -> None:
        if self._owner != (os.getpid(), threading.get_ident()):
            raise TransportError(
                "a Client was used outside the thread that made it",
                next_step="make one Client in each thread",
            )


def _unanswered(frames: Iterable[Pending]) -> int:
    return sum(frame.result is None for frame in frames)
