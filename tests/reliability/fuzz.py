"""A million mutated messages to a real daemon, each answer held against docs/wire-v1.md.

`make fuzz` runs it; `python -m reliability.fuzz 1000 --seed 1 --first 7` plays conversations again.
Many connections at once come and go, each saying a conversation of attacks/conversations.py. An
honest client beside them must get every frame back, bit by bit, all the while.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from reliability.daemon_process import RESIDUAL, TRANSPORTS, DaemonProcess, Sample
from reliability.honest_client import Account, HonestClient, Plan
from reliability.hostile_peer import HostilePeer, Models, WrongAnswerError
from reliability.oracle import Rules

from attacks.conversations import conversation
from scanside.runtime.inquiry import ask_status
from scanside.runtime.wire import Status

CREDIT = 8
WINDOW = 12
"""credit + 4: so many answers a daemon holds for a client that reads late."""
CONNECTIONS = 24
GAP_LIMIT_S = 5.0
"""An honest frame that takes longer was hung up."""
GROWTH_LIMIT_KIB = 2048
"""Resident memory from a tenth of the way to the end: what the allocator may still spread."""
SAMPLES = 20


@dataclass
class Outcome:
    """wrong: what was found, nothing when all is well. samples: of the daemon, over the run."""

    mutated: int = 0
    messages: int = 0
    conversations: int = 0
    barriers: int = 0
    seconds: float = 0.0
    tally: Counter[str] = field(default_factory=Counter)
    honest: Account = field(default_factory=Account)
    samples: list[Sample] = field(default_factory=list)
    counted: int = 0
    closed_peers: int = 0
    wrong: list[str] = field(default_factory=list)

    def table(self) -> str:
        honest = self.honest
        settled = self.samples[len(self.samples) // 10 :] or self.samples
        rows: list[tuple[str, object]] = [
            ("mutated messages", self.mutated),
            ("messages, proper ones and all", self.messages),
            ("  and PINGs to wait for", self.barriers),
            ("conversations (connections)", self.conversations),
            ("messages a second", f"{self.messages / max(self.seconds, 1e-9):.0f}"),
            *((f"  {word}", number) for word, number in sorted(self.tally.items())),
            ("RESULTs the daemon counts", self.counted),
            ("sessions closed by the daemon", self.closed_peers),
            ("honest frames sent", honest.sent),
            *((f"  {word}", number) for word, number in sorted(honest.answered.items())),
            ("  lost", honest.lost),
            ("  wrong pixels", sum(honest.wrong.values())),
            (
                "honest p50, p99 ms",
                f"{honest.percentile_ms(50):.1f}, {honest.percentile_ms(99):.1f}",
            ),
            ("longest honest pause, ms", f"{honest.longest_s * 1000:.0f}"),
        ]
        if settled:
            first, last = settled[0], settled[-1]
            rows += [
                (
                    "daemon's memory, MiB",
                    f"{first.rss_kib / 1024:.1f} -> {last.rss_kib / 1024:.1f}",
                ),
                ("daemon's descriptors", f"{first.descriptors} -> {last.descriptors}"),
                ("daemon's threads", f"{first.threads} -> {last.threads}"),
            ]
        return "\n".join(f"{name:<34}{value!s:>22}" for name, value in rows)


def fuzz(
    folder: Path,
    messages: int,
    *,
    seed: int = 1,
    first: int = 0,
    transport: str = "tcp",
    tell: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Say at least so many mutated messages to a daemon in `folder`; the first conversation is
    number `first`."""
    outcome = Outcome()
    with DaemonProcess(folder, transport, "--credit", str(CREDIT)) as daemon:
        plan = Plan(
            url=daemon.url, bundles=[str(daemon.bundle)], residuals=[RESIDUAL], window=1, rate=100,
            shared_memory=transport == "shm",
        )  # fmt: skip
        honest = HonestClient(plan)
        try:
            honest.wait_streaming()
            _talk(daemon, outcome, messages, seed, first, tell)
            outcome.honest = honest.finish()
        finally:
            honest.kill()
        if daemon.alive:
            _account(daemon, outcome)
        else:
            outcome.wrong.append(f"the daemon died: {daemon.process.poll()}")
        outcome.wrong += [f"{number} x {event}" for event, number in daemon.noted().items()]
    _judge(outcome)
    return outcome


def _talk(
    daemon: DaemonProcess,
    outcome: Outcome,
    messages: int,
    seed: int,
    first: int,
    tell: Callable[[str], None],
) -> None:
    models = Models({daemon.bundle: RESIDUAL})
    smallest, largest = models.sizes
    rules = Rules(CREDIT, models.modalities, smallest, largest)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    next_number = first
    planned = 0
    talking: list[tuple[int, HostilePeer]] = []
    began = time.monotonic()
    sampled = 0
    try:
        while daemon.alive and (talking or planned < messages):
            while len(talking) < CONNECTIONS and planned < messages:
                said = conversation(seed, next_number, window=WINDOW)
                planned += said.mutated
                peer = HostilePeer(context, daemon.url, said, rules, models, outcome.tally)
                talking.append((next_number, peer))
                next_number += 1
                peer.go_on()
            for number, peer in talking[:]:
                try:
                    peer.collect()
                except WrongAnswerError as error:
                    outcome.wrong.append(f"seed {seed}, conversation {number}: {error}")
                    peer.close()
                    talking.remove((number, peer))
                    if len(outcome.wrong) >= 10:
                        return
                    continue
                if peer.over:
                    peer.close()
                    outcome.messages += peer.said
                    outcome.mutated += peer.mutated
                    outcome.barriers += peer.barriers
                    outcome.conversations += 1
                    talking.remove((number, peer))
                else:
                    peer.go_on()
            if outcome.mutated * SAMPLES >= sampled * messages:
                sampled += 1
                now = daemon.sample()
                outcome.samples.append(now)
                rate = outcome.messages / (time.monotonic() - began)
                tell(
                    f"seed {seed}, conversation {next_number}: {outcome.mutated} mutated messages, "
                    f"{rate:.0f} messages/s, daemon {now.rss_kib / 1024:.1f} MiB, "
                    f"{now.descriptors} descriptors"
                )
    finally:
        outcome.seconds = time.monotonic() - began
        for _, peer in talking:
            peer.close()
        context.term()


def _account(daemon: DaemonProcess, outcome: Outcome) -> None:
    """Hold the daemon's counters against what came."""
    for _ in range(50):  # the last connections' ends may still be on their way
        status = ask_status(daemon.url, 10)
        now = daemon.sample()
        if status.counters.queue == 0 and now.descriptors <= outcome.samples[0].descriptors:
            break
        time.sleep(0.1)
    outcome.samples.append(now)
    outcome.counted = counted(status)
    outcome.closed_peers = status.counters.closed_peers


def counted(status: Status) -> int:
    """RESULTs that the daemon sent."""
    counters = status.counters
    return counters.enhanced + sum(counters.bypassed.values()) + sum(counters.refused.values())


def _judge(outcome: Outcome) -> None:
    honest, tally, wrong = outcome.honest, outcome.tally, outcome.wrong
    if honest.ended or honest.lost or honest.wrong or set(honest.answered) != {"enhanced"}:
        wrong.append(f"the honest client: {honest.answered}, {honest.wrong}, {honest.ended}")
    if honest.longest_s > GAP_LIMIT_S:
        wrong.append(f"an honest frame waited {honest.longest_s:.1f} s")
    came = honest.sent + sum(
        number
        for word, number in tally.items()
        if word.startswith(("enhanced", "bypassed", "refused"))
    )
    may_have_gone = tally["its session ended by BYE first"] + tally["the peer went away first"]
    if not wrong and not came <= outcome.counted <= came + may_have_gone:
        wrong.append(f"the daemon counts {outcome.counted} RESULTs, {came} came")
    answered = sum(tally.values()) - tally["PING, unasked"]
    if not wrong and answered != outcome.messages + outcome.barriers:
        wrong.append(f"{answered} accounted for of {outcome.messages + outcome.barriers}")
    settled = outcome.samples[len(outcome.samples) // 10 :]
    if settled and settled[-1].rss_kib - settled[0].rss_kib > GROWTH_LIMIT_KIB:
        wrong.append(f"memory grew by {settled[-1].rss_kib - settled[0].rss_kib} KiB")


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m reliability.fuzz", description=__doc__)
    parser.add_argument("messages", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="conversation to begin with")
    parser.add_argument("--transport", choices=TRANSPORTS, default="tcp")
    said = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="scanside-fuzz-") as folder:
        outcome = fuzz(
            Path(folder), said.messages, seed=said.seed, first=said.first,
            transport=said.transport, tell=lambda line: print(line, flush=True),  # noqa: T201
        )  # fmt: skip
    print(outcome.table())  # noqa: T201
    sys.exit("\n".join(outcome.wrong) or None)


if __name__ == "__main__":
    main(sys.argv[1:])
