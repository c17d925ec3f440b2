"""kill -9, again and again, of clients and of the daemon, at random instants under load.

`make kills` kills 100 of each and prints the table. Those that live must learn of every frame:
exactly one result for each, `unanswered` ones included, with the right pixels. The daemon is
started again on its old address each time, and nothing of the killed may stay behind.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import zmq
from reliability.daemon_process import RESIDUAL, TRANSPORTS, DaemonProcess, Sample
from reliability.honest_client import Account, HonestClient, Plan, total
from reliability.oracle import MAX_SESSIONS

SURVIVORS = ((64, 48), (37, 91), (256, 256))
VICTIMS = ((128, 128), (5, 300))
RATE = 200.0
"""Frames a second of each client: a daemon that is away must not make a million `unanswered`."""
READY_LIMIT_S = 3.0
LONGEST_PAUSE_S = 0.4
"""Between two kills, less than which is drawn at random."""
SETTLE_S = 10.0
EXPECTED = ("enhanced", "unanswered", "bypassed: not ready")


@dataclass
class Outcome:
    """wrong: what was found, nothing when all is well. restarts_s: from exec to READY."""

    clients_killed: int = 0
    daemons_killed: int = 0
    survivors: Account = field(default_factory=Account)
    restarts_s: list[float] = field(default_factory=list)
    before: Sample | None = None
    after: Sample | None = None
    left: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def table(self) -> str:
        seen = self.survivors
        rows: list[tuple[str, object]] = [
            ("clients killed", self.clients_killed),
            ("daemons killed", self.daemons_killed),
            ("frames of survivors", seen.sent),
            *((f"  {word}", number) for word, number in sorted(seen.answered.items())),
            ("  without a result, or with two", seen.lost),
            ("  wrong pixels", sum(seen.wrong.values())),
            ("longest pause of a survivor, s", f"{seen.longest_s:.2f}"),
        ]
        if self.restarts_s:
            middle, longest = np.percentile(self.restarts_s, [50, 100])
            rows.append(("restart to READY, p50 and max, s", f"{middle:.2f}, {longest:.2f}"))
        if self.before and self.after:
            rows += [
                ("daemon's descriptors", f"{self.before.descriptors} -> {self.after.descriptors}"),
                ("daemon's threads", f"{self.before.threads} -> {self.after.threads}"),
            ]
        rows.append(("left behind", len(self.left)))
        return "\n".join(f"{name:<34}{value!s:>14}" for name, value in rows)


def kill_at_random(
    folder: Path, clients: int, daemons: int, *, transport: str = "tcp", seed: int = 1
) -> Outcome:
    """First so many clients, then so many daemons, each under the load of all others."""
    outcome = Outcome()
    rng = random.Random(seed)
    behind = Traces(folder)
    with DaemonProcess(folder, transport) as daemon:
        started: list[HonestClient] = []

        def client(number: int, shape: tuple[int, int]) -> HonestClient:
            plan = Plan(
                url=daemon.url, bundles=[str(daemon.bundle)], residuals=[RESIDUAL], number=number,
                rows=shape[0], columns=shape[1], rate=RATE, shared_memory=transport == "shm",
            )  # fmt: skip
            started.append(HonestClient(plan))
            return started[-1]

        try:
            survivors = [client(number, shape) for number, shape in enumerate(SURVIVORS)]
            for one in survivors:
                one.wait_streaming()
            time.sleep(1)  # they share memory by now, where they do
            outcome.before = daemon.sample()
            _kill_clients(client, clients, rng, outcome)
            if clients:
                outcome.after = _settled(daemon, outcome.before)
            _kill_daemons(daemon, daemons, rng, outcome)
            time.sleep(1)  # all have a session again
            outcome.survivors = total([one.finish() for one in survivors])
        finally:
            for one in started:
                one.kill()
        if not daemon.alive:
            outcome.wrong.append("the daemon died by itself")
        elif daemon.stop() != 0:
            outcome.wrong.append("the daemon did not stop well")
        outcome.wrong += [f"{number} x {event}" for event, number in daemon.noted().items()]
        outcome.left = behind.left(daemon)
    _judge(outcome)
    return outcome


def _kill_clients(client: object, kills: int, rng: random.Random, outcome: Outcome) -> None:
    assert callable(client)
    victims: list[HonestClient] = []
    while outcome.clients_killed < kills:
        while len(victims) < min(2, kills - outcome.clients_killed):
            victims.append(client(100 + len(victims), VICTIMS[len(victims) % 2]))
        for one in victims:
            one.wait_streaming()
        while victims:
            time.sleep(rng.uniform(0, LONGEST_PAUSE_S))
            victims.pop(rng.randrange(len(victims))).kill()
            outcome.clients_killed += 1


def _kill_daemons(daemon: DaemonProcess, kills: int, rng: random.Random, outcome: Outcome) -> None:
    for _ in range(kills):
        time.sleep(rng.uniform(0, LONGEST_PAUSE_S))
        daemon.kill()
        outcome.daemons_killed += 1
        daemon.start()
        outcome.restarts_s.append(daemon.start_s)


def _settled(daemon: DaemonProcess, before: Sample) -> Sample:
    """What the daemon holds once it has seen that the killed are gone. It looks for them after half
    of `silence_s`, or when it has no room for a new session: so a crowd comes."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    crowd = [context.socket(zmq.DEALER) for _ in range(MAX_SESSIONS + 1)]
    for one in crowd:
        one.connect(daemon.url)
        one.send(msgspec.msgpack.encode({"type": "HELLO", "versions": [1]}))
        one.poll(5000)
    for one in crowd:
        one.close(0)
    context.term()
    until = time.monotonic() + SETTLE_S
    while (now := daemon.sample()).descriptors > before.descriptors and time.monotonic() < until:
        time.sleep(0.1)
    return now


class Traces:
    """What processes may leave behind: files in their folder for temporary ones, in /dev/shm and
    beside the ipc socket, and the socket itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shared = _names(Path("/dev/shm"))

    def left(self, daemon: DaemonProcess) -> list[str]:
        """What is there that was not, now that the daemon has stopped."""
        found = [f"/dev/shm/{name}" for name in _names(Path("/dev/shm")) - self._shared]
        found += [str(one) for one in daemon.temporary.rglob("*")]
        found += [one.name for one in self._folder.rglob("*.part")]
        if daemon.url.startswith("ipc://"):
            socket = Path(daemon.url.removeprefix("ipc://"))
            found += [str(one) for one in socket.parent.iterdir()]
            if not found:
                socket.parent.rmdir()
        return found


def _names(folder: Path) -> set[str]:
    """libfaketime's own, of a program beside this one, are none of the daemon's."""
    names = os.listdir(folder) if folder.is_dir() else []
    return {name for name in names if "faketime" not in name}


def _judge(outcome: Outcome) -> None:
    seen, wrong = outcome.survivors, outcome.wrong
    if seen.lost or seen.wrong or seen.ended:
        wrong.append(f"survivors: {seen.lost} lost, {dict(seen.wrong)} wrong, {seen.ended}")
    if strange := set(seen.answered) - set(EXPECTED):
        wrong.append(f"survivors were told {strange}")
    if not seen.answered["enhanced"]:
        wrong.append("nothing was enhanced")
    if outcome.restarts_s and max(outcome.restarts_s) > READY_LIMIT_S:
        wrong.append(f"a restart took {max(outcome.restarts_s):.2f} s")
    before, after = outcome.before, outcome.after
    if before and after and after.descriptors > before.descriptors:
        wrong.append(f"{after.descriptors - before.descriptors} descriptors stay open")
    if outcome.left:
        wrong.append(f"left behind: {outcome.left}")


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m reliability.kills", description=__doc__)
    parser.add_argument("clients", type=int)
    parser.add_argument("daemons", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--transport", choices=TRANSPORTS, action="append")
    said = parser.parse_args(words)
    wrong = []
    transports = said.transport or TRANSPORTS
    for number, transport in enumerate(transports):
        # The kills are shared out among the transports.
        share = [
            (kills + len(transports) - 1 - number) // len(transports)
            for kills in (said.clients, said.daemons)
        ]
        with tempfile.TemporaryDirectory(prefix="scanside-kills-") as folder:
            outcome = kill_at_random(Path(folder), *share, transport=transport, seed=said.seed)
        print(f"{transport}\n{outcome.table()}\n", flush=True)  # noqa: T201
        wrong += [f"{transport}: {one}" for one in outcome.wrong]
    sys.exit("\n".join(wrong) or None)


if __name__ == "__main__":
    main(sys.argv[1:])
