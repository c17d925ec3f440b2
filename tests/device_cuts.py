"""The work of `device_scenes` without power, or killed, at every step; what must be there then."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cut_images import Judge, Replay, Site, is_change, traced
from device_scenes import (
    Device,
    answering,
    check_version,
    copy_of,
    package,
    starts,
    version_starts,
)
from scanside.jetson.application import trial, versions
from scanside.jetson.steps import Outcome, Taken
from scanside.runtime.store import Chosen, Store


def replay(base: Device, scratch: Path, verb: str, without: Site = ()) -> Replay:
    """One of `SCENES`, with the power going at every step. without: an fsync that is taken out."""
    device = copy_of(base, scratch / "device")
    if verb == "prune_evidence":
        (device.store / "plans" / f"{'0' * 64}.plan").unlink()
    judge, folder = SCENES[verb](device, base, scratch)
    one = Replay(folder, scratch / "replay", judge, without)

    def done(taken: Taken) -> None:
        if taken.outcome is Outcome.DONE:
            one.settled(taken.title)

    def work() -> None:
        device.done = done
        report = getattr(device, verb.removesuffix("_evidence"))()
        assert report.failed == (verb == "update_to_bad"), report

    daemon = answering(device) if verb.startswith("update") else contextlib.nullcontext()
    with daemon, contextlib.redirect_stdout(io.StringIO()):
        one.run(work)
    return one


def _store_scene(device: Device, base: Device, scratch: Path) -> tuple[Judge, Path]:
    """The choice is the old one or the new one, and its bundles are whole."""
    verb = scratch.name.partition(".")[0]
    before = device.chosen()
    outcome = copy_of(base, scratch / "outcome")
    assert not getattr(outcome, verb.removesuffix("_evidence"))().failed
    after = outcome.chosen()

    def judge(disk: Path, event: str) -> str | None:
        store = Store(disk, allow_unsigned=True)
        chosen = store.chosen()
        if chosen not in (before, after):
            return "neither the old choice nor the new"
        starts(store)
        store.previous()
        if event == "done" and chosen != after:
            return "the old choice, after all was done"
        return None

    return judge, device.store


def _application_scene(device: Device, base: Device, scratch: Path) -> tuple[Judge, Path]:
    """The version is the old one, or the new one that was seen READY; and it is whole."""
    verb = scratch.name.partition(".")[0]
    if verb == "check":  # an update was killed with the new version on trial
        version = versions.build_version(device.machine, package(device.files / "new"))
        trial.begin(device.application, version)
        old = str((trial.pending(device.application) or {})["back"])
    else:
        old = str(trial.linked(device.application, trial.CURRENT))

    def judge(disk: Path, event: str) -> str | None:
        trial.main(disk, disk / "log")
        name = version_starts(disk)
        seen = verb == "update" and name.startswith("0.2.0") and "READY" in device.states
        if name != old and not seen:
            return f"{name} is current, and was never READY"
        if event == "done" and verb == "update" and name == old:
            return "the old version, after all was done"
        if trial.pending(disk) is not None:
            return "on trial still"
        for place in (disk / "versions").iterdir():
            if (place / "whole.json").is_file():
                check_version(place)
        trial.main(disk, disk / "log")
        return None if trial.linked(disk, trial.CURRENT) == name else "rolled back twice"

    return judge, device.application


def _first_scene(device: Device, base: Device, scratch: Path) -> tuple[Judge, Path]:
    """A device on which nothing was: it has no version or a whole one, no bundle or a whole one."""
    for folder in (device.store, device.application, device.machine.path("/etc")):
        shutil.rmtree(folder)
    complete = scratch.name.partition(".")[0] == "begin"

    def judge(disk: Path, event: str) -> str | None:
        on = Device(disk, base.files)
        if on.application.is_dir():
            trial.main(on.application, disk / "log")
        if trial.linked(on.application, trial.CURRENT) is not None:
            version_starts(on.application)
        elif event == "done" and complete:
            return "no version, after all was done"
        if on.store.is_dir() and on.chosen() != Chosen():
            starts(Store(on.store, allow_unsigned=True))
        elif event == "done" and complete:
            return "no bundle, after all was done"
        return None

    return judge, device.root


SCENES: dict[str, Callable[[Device, Device, Path], tuple[Judge, Path]]] = {
    "install": _store_scene,
    "rollback": _store_scene,
    "prune": _store_scene,
    "prune_evidence": _store_scene,
    "update": _application_scene,
    "update_to_bad": _application_scene,
    "check": _application_scene,
    "begin": _first_scene,
    "open": _first_scene,
}


def kill_at_every_step(base: Device, work: Path, verb: str) -> int:
    """Copies of the device, `work`/1 and so on, on which the verb was killed one change later than
    on the one before; how many. Forks: for a process of its own, without threads."""
    number = 0
    while True:
        number += 1
        device = copy_of(base, work / str(number))
        child = os.fork()
        if not child:
            _die_at(number, device, verb)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return number - 1
        if code != -signal.SIGKILL:
            raise SystemExit(f"{verb}, step {number}: ended with {code}")


def _die_at(fatal: int, device: Device, verb: str) -> None:
    """Does not return."""
    steps = 0
    folders = [os.path.realpath(one) for one in (device.store, device.application)]

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def told(event: str, arguments: tuple[object, ...]) -> None:
        if any(is_change(event, arguments, folder) for folder in folders):
            step()

    real = os.fsync

    def fsync(descriptor: int) -> None:
        step()
        real(descriptor)

    os.fsync = fsync
    try:
        with traced(told):
            report = getattr(device, verb)()
        os._exit(0 if report.failed == (verb == "update_to_bad") else 1)
    except BaseException as error:  # noqa: BLE001 - the parent reads the exit status
        sys.stderr.write(f"{error!r}\n")
        os._exit(1)


def killed(base: Device, work: Path, verb: str) -> int:
    """`kill_at_every_step` in a process of its own."""
    command = [sys.executable, __file__, str(base.root.parent), str(work), verb]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    one = Device(folder / "root", folder / "files")
    print(kill_at_every_step(one, Path(sys.argv[2]), sys.argv[3]))  # noqa: T201
