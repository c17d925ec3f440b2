"""The time of day jumps by hours, forwards and back, under load: does anybody notice?

`python -m reliability.clock_jumps` starts the daemon and its clients under libfaketime (Debian's
package `faketime`), which moves CLOCK_REALTIME and leaves CLOCK_MONOTONIC alone, as NTP, a radio
clock or a technician does. Deadlines, silence, heartbeats, pace and uptime must not care.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import msgspec
import zmq
from reliability.daemon_process import RESIDUAL, TRANSPORTS, DaemonProcess
from reliability.honest_client import Account, HonestClient, Plan

from scanside.runtime.inquiry import ask_status
from scanside.runtime.wire import Status

LIBRARIES = tuple(
    Path(f"/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1")
    for machine in ("x86_64", "aarch64")
)
JUMPS_H = (3, -5, 26, -24, 1, 7)
"""Hours from the true time that the clock is set to, one after the other."""
RATE = 50.0
GAP_LIMIT_S = 9.0
"""Waiting by the time of day would take hours, or until the client gives up after 10 s."""
SLACK_S = 2.0


def library() -> Path | None:
    """libfaketime for programs with threads, where the package is installed."""
    return next((one for one in LIBRARIES if one.exists()), None)


class Clock:
    """The time of day of processes that are started with `environment`."""

    def __init__(self, folder: Path) -> None:
        found = library()
        assert found is not None
        self._file = folder / "clock"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # its name in versions before 0.9.9
        }

    def set(self, hours: float) -> None:
        """So many hours from the truth, from now on."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{hours:+.0f}h\n")
        os.replace(beside, self._file)


@dataclass
class Outcome:
    """accounts: of the clients by name. seen_h: the largest step, in hours, between two lines of
    the daemon's log. real_s: that the daemon ran, on our own clock."""

    accounts: dict[str, Account] = field(default_factory=dict)
    seen_h: float = 0.0
    status: Status | None = None
    real_s: float = 0.0
    idle: str = ""
    wrong: list[str] = field(default_factory=list)

    def table(self) -> str:
        assert self.status is not None
        rows: list[tuple[str, object]] = [
            ("jumps, hours from the truth", " ".join(f"{one:+d}" for one in JUMPS_H)),
            ("largest step in the log, hours", f"{self.seen_h:.1f}"),
        ]
        for name, one in self.accounts.items():
            answers = ", ".join(f"{number} {word}" for word, number in sorted(one.answered.items()))
            rows += [
                (f"{name}: answers", answers),
                (
                    "  jumps it saw, lost, wrong",
                    f"{one.clock_jumps}, {one.lost}, {one.wrong.total()}",
                ),
                (
                    "  p99, longest pause, ms",
                    f"{one.percentile_ms(99):.1f}, {one.longest_s * 1000:.0f}",
                ),
            ]
        rows += [
            ("a silent session then got", self.idle),
            ("uptime in STATUS, really, s", f"{self.status.uptime_s:.1f}, {self.real_s:.1f}"),
            ("pace in STATUS, frames/s", f"{self.status.pace.frames_per_second:.1f}"),
        ]
        return "\n".join(f"{name:<32}{value!s:>34}" for name, value in rows)


def jump(folder: Path, between_s: float, transport: str = "tcp", rate: float = RATE) -> Outcome:
    """All of JUMPS_H, `between_s` seconds apart, each client sending `rate` frames a second.
    `library()` must be there."""
    outcome, clock = Outcome(), Clock(folder)
    began = time.monotonic()
    with DaemonProcess(folder, transport, environment=clock.environment) as daemon:
        plans = {
            "patient": _plan(daemon, rate, number=1, deadline_ms=30_000.0),
            "hurried": _plan(daemon, rate, number=2, deadline_ms=0.05),
            "unhurried": _plan(daemon, rate, number=3, window=None),
        }
        clients = {name: HonestClient(plan, **clock.environment) for name, plan in plans.items()}
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        idle = context.socket(zmq.DEALER)
        try:
            for one in clients.values():
                one.wait_streaming()
            idle.connect(daemon.url)
            _ask(idle, {"type": "HELLO", "versions": [1]})
            for hours in JUMPS_H:
                time.sleep(between_s)
                clock.set(hours)
                time.sleep(between_s)
                # A caller, for a line in the log.
                caller = context.socket(zmq.DEALER)
                caller.connect(daemon.url)
                _ask(caller, {"type": "HELLO", "versions": [1]})
                caller.close(0)
            outcome.idle = str(_ask(idle, {"type": "PING"})["type"])
            outcome.status = ask_status(daemon.url, 10)
            outcome.real_s = time.monotonic() - began
            outcome.accounts = {name: one.finish() for name, one in clients.items()}
        finally:
            for one in clients.values():
                one.kill()
            idle.close(0)
            context.term()
        if daemon.stop() != 0:
            outcome.wrong.append("the daemon did not stop well")
        outcome.wrong += [f"{number} x {event}" for event, number in daemon.noted().items()]
        outcome.seen_h = _largest_step_h(daemon.log)
    _judge(outcome)
    return outcome


def _plan(
    daemon: DaemonProcess,
    rate: float,
    *,
    number: int,
    deadline_ms: float | None = None,
    window: int | None = 1,
) -> Plan:
    return Plan(
        url=daemon.url, bundles=[str(daemon.bundle)], residuals=[RESIDUAL], number=number,
        deadline_ms=deadline_ms, window=window, rate=rate, shared_memory=daemon.transport == "shm",
    )  # fmt: skip


def _ask(peer: zmq.Socket[bytes], message: dict[str, object]) -> dict[str, object]:
    """The answer to a message; PINGs of the daemon's meanwhile are passed."""
    peer.send(msgspec.msgpack.encode(message))
    while peer.poll(5000):
        answer: dict[str, object] = msgspec.msgpack.decode(peer.recv_multipart()[0])
        if answer["type"] != "PING":
            return answer
    return {"type": "nothing"}


def _largest_step_h(log: Path) -> float:
    times = [
        datetime.fromisoformat(json.loads(line)["time"]) for line in log.read_text().splitlines()
    ]
    steps = [abs((b - a).total_seconds()) for a, b in pairwise(times)]
    return max(steps) / 3600


def _judge(outcome: Outcome) -> None:
    wrong, status = outcome.wrong, outcome.status
    assert status is not None
    if outcome.seen_h < max(map(abs, JUMPS_H)) - 0.1:
        wrong.append(f"the daemon's clock jumped by no more than {outcome.seen_h:.1f} hours")
    allowed = {"hurried": {"enhanced", "bypassed: late"}}
    for name, one in outcome.accounts.items():
        if (
            one.lost
            or one.wrong
            or one.ended
            or set(one.answered) - allowed.get(name, {"enhanced"})
        ):
            wrong.append(f"{name}: {one.answered}, {one.lost} lost, {one.wrong}, {one.ended}")
        if one.longest_s > GAP_LIMIT_S:
            wrong.append(f"{name}: a frame waited {one.longest_s:.1f} s")
        if one.sessions != 1:
            wrong.append(f"{name}: its session was lost")
        if one.clock_jumps < len(JUMPS_H):
            wrong.append(f"{name}: saw only {one.clock_jumps} jumps")
    if not outcome.accounts["hurried"].answered["bypassed: late"]:
        wrong.append("no deadline came")
    if outcome.idle != "PONG":
        wrong.append(f"a silent session got {outcome.idle}")
    if not 0 <= outcome.real_s - status.uptime_s < SLACK_S:
        wrong.append(f"uptime {status.uptime_s:.1f} s of {outcome.real_s:.1f} s")
    mean = sum(one.sent for one in outcome.accounts.values()) / outcome.real_s
    if not mean / 5 < status.pace.frames_per_second < mean * 5:
        wrong.append(f"pace {status.pace.frames_per_second:.1f} frames/s of {mean:.1f}")


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m reliability.clock_jumps", description=__doc__)
    parser.add_argument("between_s", type=float, nargs="?", default=2.0)
    parser.add_argument("--transport", choices=TRANSPORTS, default="tcp")
    said = parser.parse_args(words)
    if library() is None:
        sys.exit("libfaketime is not installed (Debian's package faketime)")
    with tempfile.TemporaryDirectory(prefix="scanside-clock-") as folder:
        outcome = jump(Path(folder), said.between_s, said.transport)
    print(outcome.table())  # noqa: T201
    sys.exit("\n".join(outcome.wrong) or None)


if __name__ == "__main__":
    main(sys.argv[1:])
