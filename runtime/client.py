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
from scanside.runtime.connection import Connection, Letter
from scanside.runtime.curve import ClientKeys
from scanside.runtime.errors import ProtocolError, RequestTimeoutError, TransportError
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.line import Line
from scanside.runtime.memory.share import transports
from scanside.runtime.results import Pending, Result, check_frame
from scanside.runtime.wire import Mode, ModelCard, Outcome, Reason


class Client:
    """One session with a daemon, renewed by itself when it is lost.

    url: tcp://HOST:PORT or ipc://PATH. timeout: seconds that the daemon may take to answer HELLO
    or STATUS, and seconds without any RESULT after which frames that wait are `unanswered`.
    shared_memory: whether pixels stay in memory that both share, where the daemon runs on the same
    machine and gives some; else, and for frames beyond it, they travel as messages. keys: folder
    with client.key and server.pub, for a daemon that asks for keys [the folder SCANSIDE_KEYS].

    One thread, one Client: ZeroMQ sockets must not be shared. Every method raises TransportError
    in a thread (or a forked process) other than the one that made the Client.

    Raises ServerUnreachableError when nobody answers in time, ProtocolError when whoever answers
    speaks something else, TransportError when `url` is no address, KeyFileError for keys that
    cannot be used, HandshakeError where they do not fit or only one side has any.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        shared_memory: bool = True,
        keys: str | os.PathLike[str] | None = None,
    ) -> None:
        self._owner = (os.getpid(), threading.get_ident())
        self._url = url
        self._keys = ClientKeys.of(keys)
        self._timeout = timeout
        self._inflight: dict[tuple[str, int], Pending] = {}
        self._next_seq: dict[str, int] = {}
        self._last_result = 0.0
        self._card: ModelCard | None = None
        self._statuses: deque[wire.Status] = deque()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._transports = transports(url, shared=shared_memory)
        self._line = Line(url, timeout, self._connect, self._take, self._lost)
        try:
            self._required()
        except BaseException:
            self.close()
            raise

    @property
    def model(self) -> ModelCard | None:
        """The model that answers, None while the daemon has none ready."""
        if self._card is None:
            self._card = (self._line.welcome and self._line.welcome.model) or self.status().model
        return self._card

    @property
    def credit(self) -> int:
        """How many frames may be on their way at once."""
        return self._line.session.credit if self._line.session else 1

    @property
    def transport(self) -> str:
        """How pixels travel: "shm" where some are shared with the daemon, else "inline"."""
        session = self._line.session
        return wire.SHARED if session and session.share.pool else wire.INLINE

    def buffer(self, rows: int, columns: int, dtype: str) -> Pixels:
        """(R, C) array to write a frame to that is then given to `enhance` or `stream`: in shared
        memory where possible, and then it needs no copy. Its content belongs to the daemon from
        then on, and may be the result's: ask for another one for the next frame.
        """
        self._check_owner()
        kind = np.dtype(dtype).newbyteorder("=")
        size = rows * columns * kind.itemsize
        session = self._line.fresh(waiting=bool(self._inflight))
        if session is not None:
            self._line.share(size, waiting=bool(self._inflight))
            shared = session.share.buffer((rows, columns), kind)
            if shared is not None:
                return shared
        return np.empty((rows, columns), kind)

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
        may be used again at once, unless it is one of `buffer`'s. window: by default, and at most,
        the daemon's credit. mode: on a `latest` stream a newer frame supersedes one that still
        waits.
        """
        on_their_way: deque[Pending] = deque()
        for pixels, facts in frames:
            on_their_way.append(
                self._submit(pixels, facts, stream, deadline_ms, mode, None, lent=True)
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

        Raises RequestTimeoutError, or ServerUnreachableError when there is no daemon (any more),
        HandshakeError when it does not let this client's key in (any more).
        """
        session = self._required()
        self._statuses.clear()
        session.send(wire.StatusRequest())
        if not self._line.pump_until(lambda: bool(self._statuses), self._timeout):
            raise RequestTimeoutError(
                f"{self._url} gave no status within {self._timeout:g} s",
                next_step="the daemon hangs: look at its log, restart it",
            )
        if not self._statuses:
            raise self._line.unreachable()
        return self._statuses.popleft()

    def close(self) -> None:
        """End the session. Frames that wait are `unanswered`."""
        self._check_owner()
        self._line.lose("the client was closed", bye=True)
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
        *,
        lent: bool = False,
    ) -> Pending:
        """lent: whether the caller may write to `pixels` again as soon as this returns."""
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
        session = self._line.fresh(waiting=bool(self._inflight))
        if session is not None:
            self._line.share(pixels.nbytes, waiting=bool(self._inflight))
        if session is None or self._line.session is not session:
            pending.give_up(self._line.why_lost)
            return pending
        shape, dtype = (pixels.shape[0], pixels.shape[1]), pixels.dtype.newbyteorder("<")
        lease = pending.lease = session.share.place(pixels)
        if lent:
            pending.pixels = lease.frame(shape, dtype) if lease else np.array(pixels)
        self._inflight[stream, seq] = pending
        pending.sent = time.monotonic()
        frame = wire.Frame(
            stream=stream,
            seq=seq,
            rows=shape[0],
            columns=shape[1],
            dtype=pixels.dtype.name,
            facts=facts,
            mode=mode,
            deadline_ms=deadline_ms,
            capture_time=capture_time,
            slot=lease.number if lease else None,
        )
        session.send(frame, None if lease else pending.pixels)
        return pending

    def _wait(self, pending: Pending) -> Result:
        while pending.result is None:
            self._take_next(pending)
        return pending.result

    def _take_next(self, oldest: Pending) -> None:
        """Wait for the next message while `oldest` waits for its result, but not for ever."""
        left = max(oldest.sent, self._last_result) + self._timeout - time.monotonic()
        if left <= 0:
            self._line.lose(f"no result within {self._timeout:g} s")
        else:
            self._pump(left)

    def _resolve(self, answer: wire.Result, part: zmq.Frame | None) -> None:
        pending = self._inflight.get((answer.stream, answer.seq))
        if pending is None:
            raise ProtocolError("a result came for a frame that waits for none")
        now = time.monotonic()
        pending.resolve(answer, part, now)
        del self._inflight[answer.stream, answer.seq]
        self._last_result = now

    # The session

    def _required(self) -> Connection:
        self._check_owner()
        return self._line.required()

    def _connect(self) -> Connection:
        self._card = None
        return Connection(self._context, self._url, self._transports, self._keys)

    def _pump(self, wait_s: float) -> None:
        self._check_owner()
        self._line.pump(wait_s)

    def _take(self, letter: Letter, part: zmq.Frame | None) -> None:
        if isinstance(letter, wire.Status):
            self._statuses.append(letter)
        else:
            self._resolve(letter, part)

    def _lost(self, why: str) -> None:
        """Whatever waited for the session is unanswered."""
        waiting = list(self._inflight.values())
        self._inflight.clear()
        for pending in waiting:
            pending.give_up(why)

    def _check_owner(self) -> None:
        if self._owner != (os.getpid(), threading.get_ident()):
            raise TransportError(
                "a Client was used outside the thread that made it",
                next_step="make one Client in each thread",
            )


def _unanswered(frames: Iterable[Pending]) -> int:
    return sum(frame.result is None for frame in frames)
