"""An honest client in a process of its own: streams frames, holds every answer against NumPy.

It streams until its parent closes its standard input, and then tells what became of its frames.
Whatever happens to the daemon meanwhile, each frame must have had exactly one result, in order.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np

from scanside.runtime import Client, FrameFacts
from scanside.runtime.bundle import Bundle
from scanside.runtime.frame import Pixels
from scanside.runtime.intensity import apply_residual
from scanside.runtime.results import Result
from scanside.runtime.wire import Mode

FACTS = FrameFacts(modality="CT", bits_stored=12, signed=False, intercept=-1024.0)
JUMP_S = 60.0
FRAMES = 16
"""Different ones of each client, in turn: enough for an answer to a wrong frame to be noticed."""


@dataclass(kw_only=True)
class Plan:
    """What a client does. number: chooses its frames. residual: of the bundle's network, one for
    each that may be active. rate: frames a second, 0 for as many as it can. life_s: with a session
    for so long at most, then another. timeout_s: the client library's patience."""

    url: str
    bundles: list[str]
    residuals: list[float]
    number: int = 0
    rows: int = 64
    columns: int = 48
    mode: str = "lossless"
    deadline_ms: float | None = None
    window: int | None = None
    rate: float = 0.0
    life_s: float = 0.0
    timeout_s: float = 10.0
    shared_memory: bool = False


@dataclass
class Account:
    """What became of the frames. answered: by outcome and reason. wrong: results that were not what
    they said they were, with what they said. round_trips_ms: of enhanced frames.
    longest_s: between two results. clock_jumps: of the time of day, by over a minute, that it saw.
    ended: by an error, its name."""

    sent: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    round_trips_ms: list[float] = field(default_factory=list)
    longest_s: float = 0.0
    sessions: int = 0
    clock_jumps: int = 0
    ended: str = ""

    @property
    def lost(self) -> int:
        """Frames without a result; negative where some had more than one."""
        return self.sent - sum(self.answered.values())

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.round_trips_ms, percent)) if self.round_trips_ms else 0.0


def total(accounts: list[Account]) -> Account:
    """All of them as one."""
    whole = Account()
    for one in accounts:
        whole.sent += one.sent
        whole.answered += one.answered
        whole.wrong += one.wrong
        whole.round_trips_ms += one.round_trips_ms
        whole.longest_s = max(whole.longest_s, one.longest_s)
        whole.sessions += one.sessions
        whole.clock_jumps += one.clock_jumps
        whole.ended = whole.ended or one.ended
    return whole


class HonestClient:
    """The process; it has sent its first frames when `start` returns."""

    def __init__(self, plan: Plan, before: tuple[str, ...] = (), **environment: str) -> None:
        here = Path(__file__).parents[1]
        path = os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "reliability.honest_client", json.dumps(asdict(plan))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        )

    def wait_streaming(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "streaming\n", f"an honest client said {line!r}"

    def finish(self, timeout_s: float = 60) -> Account:
        """Have it stop, and read its account. TimeoutExpired when it hangs."""
        said, _ = self.process.communicate(timeout=timeout_s)
        assert self.process.returncode == 0, f"an honest client died: {self.process.returncode}"
        told: dict[str, Any] = json.loads(said.splitlines()[-1])
        account = Account(**told)
        account.answered, account.wrong = Counter(account.answered), Counter(account.wrong)
        return account

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


class Album:
    """A client's frames, and what each model of its plan makes of them by the NumPy reference."""

    def __init__(self, plan: Plan) -> None:
        rng = np.random.default_rng(plan.number)
        shape = plan.rows, plan.columns
        self.frames = [rng.integers(0, 4096, shape).astype(np.uint16) for _ in range(FRAMES)]
        self._expected: dict[str, list[Pixels]] = {}
        for file, residual in zip(plan.bundles, plan.residuals, strict=True):
            bundle = Bundle.open(Path(file))
            change = np.full(shape, residual, np.float32)
            self._expected[bundle.identity] = [
                apply_residual(one, change, FACTS, bundle.manifest.intensity, 1)
                for one in self.frames
            ]
        for expected in self._expected.values():
            assert not any(map(np.array_equal, expected, self.frames))

    def is_right(self, result: Result, number: int) -> bool:
        """Whether a result is what it says of itself: frame `number`, enhanced by the model it
        names, or the original."""
        original = self.frames[number % FRAMES]
        if result.outcome == "refused":
            return result.pixels is None
        if result.outcome == "enhanced":
            expected = self._expected.get(result.model)
            if expected is None:
                return False
            original = expected[number % FRAMES]
        return result.pixels is not None and np.array_equal(result.pixels, original)


def stream(plan: Plan, enough: Event) -> Account:
    """Be the client until `enough`."""
    album, account = Album(plan), Account()
    while not enough.is_set():
        until = time.monotonic() + plan.life_s if plan.life_s else float("inf")
        try:
            with Client(plan.url, timeout=plan.timeout_s, shared_memory=plan.shared_memory) as one:
                if not account.sessions:
                    print("streaming", flush=True)  # noqa: T201
                account.sessions += 1
                _one_session(plan, album, account, one, enough, until)
        except Exception as error:  # noqa: BLE001 - told to the parent, which fails
            account.ended = f"{type(error).__name__}: {error}"
            break
    return account


def _one_session(
    plan: Plan, album: Album, account: Account, client: Client, enough: Event, until: float
) -> None:
    first = account.sent
    between = 1 / plan.rate if plan.rate else 0.0

    def camera() -> Iterator[tuple[Pixels, FrameFacts]]:
        due = time.monotonic()
        while not enough.is_set() and time.monotonic() < until:
            account.sent += 1
            yield album.frames[(account.sent - 1) % FRAMES], FACTS
            due = max(due + between, time.monotonic() - 1)
            enough.wait(max(0.0, due - time.monotonic()))

    before, ahead = time.monotonic(), time.time() - time.monotonic()
    results = client.stream(
        camera(), window=plan.window, deadline_ms=plan.deadline_ms, mode=Mode(plan.mode)
    )
    for number, result in enumerate(results):
        now = time.monotonic()
        account.longest_s = max(account.longest_s, now - before)
        before = now
        ahead_now = time.time() - now
        account.clock_jumps += abs(ahead_now - ahead) > JUMP_S
        ahead = ahead_now
        word = result.outcome.value + (f": {result.reason.value}" if result.reason else "")
        account.answered[word] += 1
        if result.seq != number or not album.is_right(result, first + number):
            account.wrong[word] += 1
        if result.outcome == "enhanced":
            account.round_trips_ms.append(round(result.round_trip_ms, 2))


def main(words: list[str]) -> None:
    enough = Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        enough.set()

    Thread(target=wait_for_the_end, daemon=True).start()
    print(json.dumps(vars(stream(Plan(**json.loads(words[0])), enough))))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
