"""A daemon under all that a day may bring, for half an hour: is its memory flat, is all accounted?

`make soak` runs it for SOAK_MINUTES [30]: clients of different sizes and modes, one that comes and
goes, a swap now and then, hostile conversations. A table and runs/soak/memory-tcp.png tell.

A swap moves the level of memory up or down by 17 MB (how much of ONNX Runtime's arena is resident
depends on where it comes to lie), which hides any slope of an hour: SWAP_S=0 leaves swaps out.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from reliability.daemon_process import TRANSPORTS, DaemonProcess, Sample
from reliability.honest_client import Account, HonestClient, Plan, total
from reliability.hostile_peer import HostilePeer, Models, WrongAnswerError
from reliability.memory_slope import Slope, plot, slope
from reliability.oracle import Rules

from attacks.conversations import conversation
from bundles import write_test_bundle
from scanside.runtime.control import Swap, command
from scanside.runtime.inquiry import ask_status
from scanside.runtime.wire import Status

MODELS = {"a": 0.01, "b": 0.03}
CREDIT = 8
SAMPLE_S = 5.0
SWAP_S = 20.0
HOSTILE_S = 2.0
SLOPE_LIMIT = 1.0
"""MB/h."""
ENOUGH_S = 600.0
"""A slope of a run that is shorter is printed, and judged by nobody: the allocator's steps are
larger than what an hour may bring."""
GROWTH_LIMIT_MB = 100.0
"""What any run may grow by after its warm-up: only a fuse."""
WARM_UP_S = 300.0
"""Or a third of a shorter run: engines and allocator have seen every size and a few swaps."""
EXPECTED = ("enhanced", "bypassed: late", "bypassed: superseded")


@dataclass
class Outcome:
    """wrong: what was found, nothing when all is well. came: RESULTs that clients received, by
    outcome; may_have_gone: that they may have missed; counted: that the daemon counts."""

    minutes: float
    samples: list[Sample] = field(default_factory=list)
    slope: Slope | None = None
    clients: dict[str, Account] = field(default_factory=dict)
    hostile: Counter[str] = field(default_factory=Counter)
    hostile_messages: int = 0
    swaps: int = 0
    came: Counter[str] = field(default_factory=Counter)
    may_have_gone: int = 0
    counted: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def table(self) -> str:
        lines = [
            f"{'client':<12}{'sent':>9}{'lost':>6}{'wrong':>7}{'p50 ms':>8}{'p99 ms':>8}  answers"
        ]
        for name, one in self.clients.items():
            answers = ", ".join(f"{number} {word}" for word, number in sorted(one.answered.items()))
            lines.append(
                f"{name:<12}{one.sent:>9}{one.lost:>6}{sum(one.wrong.values()):>7}"
                f"{one.percentile_ms(50):>8.1f}{one.percentile_ms(99):>8.1f}  {answers}"
            )
        first, last = self.samples[0], self.samples[-1]
        rows: list[tuple[str, object]] = [
            ("minutes", f"{self.minutes:g}"),
            ("swaps", self.swaps),
            ("hostile messages", self.hostile_messages),
            ("RESULTs received", self.came.total()),
            ("  and perhaps, by who left", self.may_have_gone),
            ("RESULTs the daemon counts", self.counted.total()),
            ("memory, first and last, MB", f"{_mb(first):.1f}, {_mb(last):.1f}"),
            ("memory, highest, MB", f"{max(map(_mb, self.samples)):.1f}"),
            ("descriptors, least and most", _range(one.descriptors for one in self.samples)),
            ("threads, least and most", _range(one.threads for one in self.samples)),
        ]
        if self.slope is not None:
            middle, low, high = self.slope
            rows.append(("slope after warm-up, MB/h", f"{middle:+.2f} ({low:+.2f} to {high:+.2f})"))
        return "\n".join([*lines, *(f"{name:<30}{value!s:>26}" for name, value in rows)])


def _mb(one: Sample) -> float:
    return one.rss_kib * 1024 / 1e6


def _range(numbers: object) -> str:
    seen = list(numbers)  # type: ignore[call-overload]
    return f"{min(seen)}, {max(seen)}"


def soak(
    folder: Path,
    minutes: float,
    *,
    transport: str = "tcp",
    seed: int = 1,
    swap_s: float = SWAP_S,
    chart: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """So many minutes with a daemon in `folder`. swap_s: from one swap to the next, 0 for none.
    chart: where the plot goes."""
    outcome = Outcome(minutes)
    files = {
        name: write_test_bundle(folder / f"{name}.scanside", residual=one, version=f"1.{name}")
        for name, one in MODELS.items()
    }
    control = folder / "control"
    options = ("--credit", str(CREDIT), "--control", str(control))
    with DaemonProcess(folder, transport, *options, bundle=files["a"]) as daemon:
        clients = {name: HonestClient(plan) for name, plan in _plans(daemon, files).items()}
        try:
            for one in clients.values():
                one.wait_streaming()
            load = _Load(daemon, files, control, outcome, seed, swap_s)
            load.run(minutes * 60, tell)
            outcome.clients = {name: one.finish() for name, one in clients.items()}
        finally:
            for one in clients.values():
                one.kill()
        if daemon.alive:
            status = ask_status(daemon.url, 10)
            outcome.counted = by_outcome(status)
            if daemon.stop() != 0:
                outcome.wrong.append("the daemon did not stop well")
        else:
            outcome.wrong.append("the daemon died")
        outcome.wrong += [f"{number} x {event}" for event, number in daemon.noted().items()]
    _judge(outcome, chart)
    return outcome


def _plans(daemon: DaemonProcess, files: dict[str, Path]) -> dict[str, Plan]:
    alike = {
        "url": daemon.url,
        "bundles": [str(one) for one in files.values()],
        "residuals": list(MODELS.values()),
        "shared_memory": daemon.transport == "shm",
    }

    def plan(**own: object) -> Plan:
        return Plan(**{**alike, **own})  # type: ignore[arg-type]

    return {
        "ct": plan(number=1, rows=512, columns=512, rate=20, window=1),
        "odd": plan(number=2, rows=37, columns=91, rate=50),
        "latest": plan(number=3, rows=128, columns=128, rate=50, mode="latest"),
        "deadlines": plan(number=4, rows=256, columns=256, rate=20, deadline_ms=8.0),
        "visitor": plan(number=5, rows=64, columns=48, rate=50, life_s=3),
    }


def by_outcome(status: Status) -> Counter[str]:
    """RESULTs that a daemon says it sent, by outcome and reason."""
    counters = status.counters
    found = Counter({"enhanced": counters.enhanced})
    for word, by_reason in (("bypassed", counters.bypassed), ("refused", counters.refused)):
        found.update({f"{word}: {reason}": number for reason, number in by_reason.items()})
    return found


class _Load:
    """What the soak itself does meanwhile: samples, swaps, hostile conversations."""

    def __init__(
        self,
        daemon: DaemonProcess,
        files: dict[str, Path],
        control: Path,
        outcome: Outcome,
        seed: int,
        swap_s: float,
    ) -> None:
        self._daemon = daemon
        self._files = list(files.values())
        self._control = control
        self._outcome = outcome
        self._seed = seed
        self._swap_s = swap_s
        self._models = Models(dict(zip(self._files, MODELS.values(), strict=True)))
        self._rules = Rules(CREDIT, self._models.modalities, *self._models.sizes)
        self._spoken = 0

    def run(self, seconds: float, tell: Callable[[str], None]) -> None:
        pauses = {self._sample: SAMPLE_S, self._hostile: HOSTILE_S}
        if self._swap_s:
            pauses[self._swap] = self._swap_s
        # Short runs do a little of everything, too.
        pauses = {work: min(pause, seconds / 8) for work, pause in pauses.items()}
        began = time.monotonic()
        due = {work: began + (work != self._sample) * pauses[work] for work in pauses}
        minute = 0
        while (now := time.monotonic()) < began + seconds and self._daemon.alive:
            work = min(due, key=lambda one: due[one])
            time.sleep(max(0.0, min(due[work], began + seconds) - now))
            if due[work] < began + seconds:
                work()
            due[work] += pauses[work]
            if int((now - began) / 60) > minute:
                minute += 1
                last = self._outcome.samples[-1]
                tell(
                    f"minute {minute}: {_mb(last):.2f} MB, {last.descriptors} descriptors, "
                    f"{last.threads} threads"
                )

    def _sample(self) -> None:
        self._outcome.samples.append(self._daemon.sample())

    def _swap(self) -> None:
        self._outcome.swaps += 1
        command(self._control, Swap(file=str(self._files[self._outcome.swaps % 2])))

    def _hostile(self) -> None:
        self._spoken += 1
        said = conversation(self._seed, self._spoken, window=CREDIT + 4)
        outcome = self._outcome
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        peer = HostilePeer(
            context, self._daemon.url, said, self._rules, self._models, outcome.hostile
        )
        try:
            while not peer.over:
                peer.go_on()
                peer.collect()
        except WrongAnswerError as error:
            outcome.wrong.append(f"seed {self._seed}, conversation {self._spoken}: {error}")
        finally:
            outcome.hostile_messages += peer.said
            peer.close()
            context.term()


def _judge(outcome: Outcome, chart: Path | None) -> None:
    wrong, hostile = outcome.wrong, outcome.hostile
    for name, one in outcome.clients.items():
        if one.lost or one.wrong or one.ended or set(one.answered) - set(EXPECTED):
            wrong.append(f"{name}: {one.lost} lost, {dict(one.wrong)} wrong, {one.ended}")
    outcome.came = total(list(outcome.clients.values())).answered + Counter(
        {
            word: number
            for word, number in hostile.items()
            if word.startswith(("enhanced", "bypassed", "refused"))
        }
    )
    outcome.may_have_gone = (
        hostile["its session ended by BYE first"] + hostile["the peer went away first"]
    )
    more = outcome.counted - outcome.came
    if outcome.came - outcome.counted or more.total() > outcome.may_have_gone:
        wrong.append(f"the daemon counts {outcome.counted}, {outcome.came} came")
    seconds = outcome.minutes * 60
    warm_up_s = min(WARM_UP_S, seconds / 3)
    settled = [one for one in outcome.samples if one.at_s >= outcome.samples[0].at_s + warm_up_s]
    outcome.slope = slope(outcome.samples, warm_up_s)
    if seconds >= ENOUGH_S and outcome.slope.mb_per_hour > SLOPE_LIMIT:
        wrong.append(f"memory grows by {outcome.slope.mb_per_hour:.2f} MB/h")
    if (grown := _mb(settled[-1]) - _mb(settled[0])) > GROWTH_LIMIT_MB:
        wrong.append(f"memory grew by {grown:.1f} MB")
    if len({one.threads for one in settled}) > 2:  # one more while a swap is on its way
        wrong.append(f"threads: {_range(one.threads for one in settled)}")
    third = max(1, len(settled) // 3)
    early, late = settled[:third], settled[-third:]
    if min(one.descriptors for one in late) > max(one.descriptors for one in early):
        wrong.append("descriptors grow")
    if chart is not None:
        plot(outcome.samples, warm_up_s, chart)


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m reliability.soak", description=__doc__)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--transport", choices=TRANSPORTS, default="tcp")
    parser.add_argument("--swap-s", type=float, default=SWAP_S)
    parser.add_argument("--out", type=Path, default=Path("runs/soak"))
    said = parser.parse_args(words)
    print(f"seed {said.seed}, {said.transport}", flush=True)  # noqa: T201
    with tempfile.TemporaryDirectory(prefix="scanside-soak-") as folder:
        outcome = soak(
            Path(folder), said.minutes, transport=said.transport, seed=said.seed,
            swap_s=said.swap_s, chart=said.out / f"memory-{said.transport}.png",
            tell=lambda line: print(line, flush=True),  # noqa: T201
        )  # fmt: skip
    print(outcome.table())  # noqa: T201
    sys.exit("\n".join(outcome.wrong) or None)


if __name__ == "__main__":
    main(sys.argv[1:])
