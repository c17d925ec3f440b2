"""kill -9 at random instants of install, rollback, prune and update, on one device that lives on.

`make kills-device` kills 1,000 times and prints the table. After each kill what systemd would run
before the next start is run, and then what is active must be whole, must start, and must be what
was there before or what was asked for; now and then the verb is let to its end.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bundles import write_test_bundle
from device_scenes import (
    Device,
    answering,
    check_version,
    make_device,
    make_package,
    starts,
    version_starts,
)
from scanside.jetson.application import trial
from scanside.runtime.store import Store

VERBS = ("install", "rollback", "prune", "update", "update_to_bad")
EVERY = 4
"""One verb in so many is let to its end, so that the device changes."""


@dataclass
class Tally:
    """killed: verbs that were, by verb; ended: that came to their end first. alone: of the killed,
    those whose children were not killed along with them."""

    killed: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    alone: int = 0
    wrong: list[str] = field(default_factory=list)

    def table(self) -> str:
        rows = [(f"{verb}: killed", self.killed[verb]) for verb in VERBS]
        rows += [("killed in all", self.killed.total()), ("ended before", self.ended.total())]
        rows += [("of the killed, its children not", self.alone), ("wrong", len(self.wrong))]
        return "\n".join(f"{what:36}{count:>8}" for what, count in rows)


def kill_often(folder: Path, kills: int, seed: int) -> Tally:
    """Until `kills` verbs were killed. Forks: for a process of its own, without threads."""
    chance = random.Random(seed)
    device = make_device(folder)
    write_test_bundle(device.files / "other.scanside", residual=0.5, serial=3)
    make_package(device.files / "next", "0.3.0")
    tally = Tally()
    lasts = dict.fromkeys(VERBS, 0.1)
    with answering(device):
        device.machine.path("/run/scanside/control").rename(folder / "control")
        while tally.killed.total() < kills:
            verb = chance.choice(VERBS)
            run = _work(device, verb, folder)
            before = _standing(device)
            whole = chance.randrange(EVERY) == 0
            lasted = _fork(run, None if whole else chance.uniform(0, lasts[verb]), chance, tally)
            if lasted is None:
                tally.killed[verb] += 1
            else:
                tally.ended[verb] += 1
                lasts[verb] = 0.5 * lasts[verb] + 0.5 * lasted
            try:
                _check(device, verb, before)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
                tally.wrong.append(f"{verb}, kill {tally.killed.total()}: {error!r}")
    return tally


def _work(device: Device, verb: str, folder: Path) -> Callable[[], object]:
    control = device.machine.path("/run/scanside/control")
    control.unlink(missing_ok=True)
    if verb == "install":
        active = device.chosen().active
        name = next(one for one in ("new", "other") if _sha256(device, one) != active)
        return lambda: device.install(name)
    if verb.startswith("update"):
        os.link(folder / "control", control)
        current = trial.linked(device.application, trial.CURRENT) or ""
        name = "next" if current.startswith("0.2.0") else "new"
        name = "bad" if verb == "update_to_bad" else name
        return lambda: device.update(name, force=True)
    verbs: dict[str, Callable[[], object]] = {"rollback": device.rollback, "prune": device.prune}
    return verbs[verb]


def _sha256(device: Device, name: str) -> str:
    return hashlib.sha256((device.files / f"{name}.scanside").read_bytes()).hexdigest()


def _standing(device: Device) -> tuple[str | None, str | None, str | None]:
    chosen = device.chosen()
    return chosen.active, chosen.previous, trial.linked(device.application, trial.CURRENT)


def _fork(
    run: Callable[[], object], after_s: float | None, chance: random.Random, tally: Tally
) -> float | None:
    """Seconds that it took, or None where it was killed."""
    began, alone = time.monotonic(), False
    child = os.fork()
    if not child:
        os.setsid()
        with contextlib.redirect_stdout(io.StringIO()):
            run()
        os._exit(0)
    if after_s is not None:
        time.sleep(after_s)
        if chance.random() < 0.5:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
        else:
            os.kill(child, signal.SIGKILL)
            alone = True
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL:
        tally.alone += alone
        return None
    assert code == 0, code
    return time.monotonic() - began


def _check(device: Device, verb: str, before: tuple[str | None, str | None, str | None]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        trial.main(device.application, device.root / "log")
    active, previous, version = _standing(device)
    store = Store(device.store, allow_unsigned=True)
    starts(store)
    allowed = {before[0]}
    if verb == "install":
        allowed |= {_sha256(device, one) for one in ("new", "other")}
    if verb == "rollback":
        allowed.add(before[1])
    assert active in allowed, "neither the old bundle nor the new"
    assert previous in {before[0], before[1]}, "another previous bundle"
    store.previous()
    assert trial.pending(device.application) is None
    assert version_starts(device.application) == version
    assert version == before[2] or (
        verb == "update" and str(version).startswith(("0.2.0-", "0.3.0-"))
    ), "neither the old version nor the new"
    for place in (device.application / "versions").iterdir():
        if (place / "whole.json").is_file():
            check_version(place)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        seed = int(sys.argv[2]) if len(sys.argv) > 2 else 6
        found = kill_often(Path(scratch), int(sys.argv[1]), seed)
        print(found.table(), *found.wrong[:20], sep="\n")  # noqa: T201
        sys.exit(bool(found.wrong))
