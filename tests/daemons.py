"""Daemons for tests: a NumPy engine that does as it is told, a daemon around it, a bare peer."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import zmq

from bundles import make_manifest
from scanside.runtime import Result
from scanside.runtime.daemon.loading import Load, Loaded, Report
from scanside.runtime.daemon.server import Daemon
from scanside.runtime.daemon.states import State
from scanside.runtime.engines import EngineSpec
from scanside.runtime.frame import FrameFacts, Pixels
from scanside.runtime.intensity import apply_residual
from scanside.runtime.wire import ModelCard

FACTS = FrameFacts(modality="CT", bits_stored=16, signed=False)
SOON_S = 10.0
"""Longer than anything that works takes, even on a busy machine."""


class AddOne:
    """Adds 1 to every pixel. `before` is called with each frame first: it may wait or raise."""

    def __init__(self, before: Callable[[Pixels], None] = lambda pixels: None) -> None:
        self.before = before
        self.closed = False
        self.seen = 0

    @property
    def spec(self) -> EngineSpec:
        return EngineSpec(name="numpy", version="1", device="test", threads=1, scale=1)

    def run(self, pixels: Pixels, facts: Sequence[FrameFacts], out: Pixels | None = None) -> Pixels:
        assert len(pixels) == len(facts)
        self.seen += 1
        self.before(pixels)
        return pixels + pixels.dtype.type(1)

    def warm_up(self, rows: int, columns: int) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Residual(AddOne):
    """The map of `make_manifest` around a residual that a test sets before each frame: `value`
    everywhere or only `at` a pixel, and normal noise of deviation `noise`."""

    def __init__(self, scale: int = 1) -> None:
        super().__init__()
        self.scale = scale
        self.value = 0.0
        self.at: tuple[int, int] | None = None
        self.noise = 0.0

    @property
    def spec(self) -> EngineSpec:
        return EngineSpec(name="numpy", version="1", device="test", threads=1, scale=self.scale)

    def run(self, pixels: Pixels, facts: Any, out: Pixels | None = None) -> Pixels:
        manifest = make_manifest()
        out = []
        for words, one in zip(pixels, facts, strict=True):
            size = (words.shape[0] * self.scale, words.shape[1] * self.scale)
            residual = np.random.default_rng(self.seen).normal(self.value, self.noise, size)
            residual = residual.astype(np.float32)
            self.seen += 1
            if self.at is not None:
                residual[:] = 0
                residual[self.at] = self.value
            out.append(apply_residual(words, residual, one, manifest.intensity, self.scale))
        return np.stack(out)


class Gate:
    """`before` of an engine that stops each frame until it is let through."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Semaphore(0)

    def __call__(self, pixels: Pixels) -> None:
        self.entered.release()
        assert self.open.acquire(timeout=SOON_S)

    def wait_entered(self) -> None:
        assert self.entered.acquire(timeout=SOON_S)


def loader(
    engine: Any,
    *,
    check: Callable[[], object] = lambda: None,
    keep: Callable[[], object] = lambda: None,
    identity: str = "f" * 64,
    signer: str = "",
    **manifest_fields: Any,
) -> Load:
    """Load `engine` as a model of a CT manifest with these fields."""

    def load(report: Report) -> Loaded:
        report(State.VERIFYING)
        report(State.BUILDING)
        manifest = make_manifest(**manifest_fields)
        card = ModelCard(
            name=manifest.name,
            version=manifest.version,
            identity=identity,
            modality=manifest.modality,
            scale=manifest.scale,
            signed=False,
            engine="numpy 1",
        )
        return Loaded(engine, manifest, card, check, keep, signer)

    return load


@contextmanager
def running(load: Load, bind: str = "tcp://127.0.0.1:*", **options: Any) -> Iterator[Daemon]:
    """A daemon in a thread of its own, drained and joined at the end. It need not be READY."""
    with Daemon(load, bind, **options) as daemon:
        errors: list[Exception] = []

        def run() -> None:
            try:
                daemon.run()
            except Exception as error:  # noqa: BLE001 - asserted on below
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield daemon
        finally:
            daemon.drain()
            thread.join(SOON_S)
        assert not thread.is_alive()
        assert not errors, errors


@contextmanager
def serving(
    engine: Any = None, *, bind: str = "tcp://127.0.0.1:*", **options: Any
) -> Iterator[str]:
    """The URL of a daemon that is READY. Options of `loader` and of `Daemon` may be mixed."""
    of_daemon = ("credit", "silence_s", "drain_s", "retry_s")
    daemon_options = {name: options.pop(name) for name in of_daemon if name in options}
    ready = threading.Event()
    load = loader(engine or AddOne(), **options)
    with running(load, bind, on_ready=lambda *_: ready.set(), **daemon_options) as daemon:
        assert ready.wait(SOON_S)
        yield daemon.url


class Peer:
    """A bare DEALER that says whatever a test wants, right or wrong."""

    def __init__(self, url: str, *, hello: bool = True, receive_room: int = 1000) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.SNDHWM, 0)
        self.socket.set(zmq.RCVHWM, receive_room)
        self.socket.connect(url)
        if hello:
            self.welcome = self.ask({"type": "HELLO", "versions": [1]})
            assert self.welcome["type"] == "WELCOME"

    def say(self, header: dict[str, Any] | bytes, *parts: Any) -> None:
        raw = header if isinstance(header, bytes) else msgspec.msgpack.encode(header)
        self.socket.send_multipart([raw, *parts])

    def hear(self, timeout_s: float = SOON_S) -> dict[str, Any]:
        """The next message: its header, with the pixels' bytes (or None) under "pixels"."""
        assert self.socket.poll(int(timeout_s * 1000)), "nothing came"
        header, *rest = self.socket.recv_multipart()
        return {**msgspec.msgpack.decode(header), "pixels": rest[0] if rest else None}

    def hears_nothing(self) -> bool:
        """Whether nothing comes before the answer to a PING that is sent now."""
        return self.ask({"type": "PING"})["type"] == "PONG"

    def ask(self, header: dict[str, Any] | bytes, *parts: Any) -> dict[str, Any]:
        self.say(header, *parts)
        return self.hear()

    def send(self, seq: int, pixels: Pixels | None = None, **changes: Any) -> Pixels:
        """Send a FRAME; `changes` replace fields of its header. Returns its pixels."""
        pixels = frame(seq) if pixels is None else pixels
        header = frame_header(pixels, seq=seq, **changes)
        self.say(header, np.ascontiguousarray(pixels).tobytes())
        return pixels

    def status(self) -> dict[str, Any]:
        return self.ask({"type": "STATUS"})

    def wait_for(self, state: str) -> None:
        until = time.monotonic() + SOON_S
        while self.status()["state"] != state:
            assert time.monotonic() < until, f"never {state}"
            time.sleep(0.002)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self._context.term()


def frame(seed: int, shape: tuple[int, int] = (16, 24)) -> Pixels:
    """A uint16 frame that no other seed has."""
    return np.random.default_rng(seed).integers(0, 60000, shape).astype(np.uint16)


def frame_header(pixels: Pixels, **changes: Any) -> dict[str, Any]:
    facts = msgspec.to_builtins(FACTS)
    fields = {
        "type": "FRAME",
        "stream": "s",
        "seq": 0,
        "rows": pixels.shape[0],
        "columns": pixels.shape[1],
        "dtype": pixels.dtype.name,
        "facts": facts,
    }
    facts |= {name: changes.pop(name) for name in list(changes) if name in facts}
    return fields | changes


WELCOME: dict[str, Any] = {
    "type": "WELCOME",
    "version": 1,
    "session": "s",
    "state": "READY",
    "model": None,
    "credit": 3,
    "silence_s": 60.0,
}
Answer = list[Any]


@contextmanager
def pretender(
    answer: Callable[[dict[str, Any], list[bytes]], list[Answer]], room: int = 1000
) -> Iterator[str]:
    """A daemon that says HELLO properly and then whatever `answer` gives for a message. room: the
    messages that it takes in before it looks at them."""
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.set(zmq.LINGER, 0)
    router.set(zmq.RCVHWM, room)
    router.bind("tcp://127.0.0.1:*")
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            if not router.poll(20):
                continue
            peer, header, *rest = router.recv_multipart()
            message = msgspec.msgpack.decode(header)
            answers = answer(message, rest)
            if message["type"] == "HELLO" and not answers:
                answers = [[WELCOME]]
            for header_out, *parts in answers:
                router.send_multipart([peer, msgspec.msgpack.encode(header_out), *parts])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield router.get_string(zmq.LAST_ENDPOINT)
    finally:
        stop.set()
        thread.join()
        router.close()
        context.term()


def is_original(result: Result, pixels: Pixels) -> bool:
    return result.pixels is not None and np.array_equal(result.pixels, pixels)


def result_for(message: dict[str, Any], **changes: Any) -> dict[str, Any]:
    same = {name: message[name] for name in ("stream", "seq", "rows", "columns", "dtype")}
    rest = {"outcome": "enhanced", "reason": None, "scale": 1, "model": "", "engine": ""}
    return {"type": "RESULT", "signed": False, **same, **rest, **changes}


def heed_interrupts() -> None:
    """For a program that Ctrl-C or a lost terminal is to end, though the tests run in the
    background or under nohup, which have them ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
