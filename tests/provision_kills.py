"""`scanside device provision` killed before each change that it makes, then run again.

A run that was killed anywhere and one that was not must leave the same device. `python
provision_kills.py BASE WORK [STRIDE]` does so on copies of the fake Jetson BASE, before each
STRIDE-th change, and prints how many changes there are; it forks, so it has no threads.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from cut_images import is_change, traced
from provisioning import picture
from scanside.jetson.machine import Machine
from scanside.jetson.provision import Wishes, provision_steps
from scanside.jetson.provision.address import Address
from scanside.jetson.steps import carry_out
from scanside.runtime.curve import load_pair, load_public
from stateful_tools import ASKING, STATE

WISHES = Wishes(
    wire_keys=True,
    settings={"SCANSIDE_OPTIONS": "--threads 4"},
    time_servers=("ntp.hospital",),
    address=Address("192.168.7.20/24", "eth0"),
)
WIRE = "etc/scanside/wire/server"


def outcome(root: Path) -> dict[str, Any]:
    """What a device came to: its files but for their times, and what its tools remember. The keys
    of the wire are others on each device: that they are a pair is what counts."""
    found: dict[str, Any] = {
        name: what[:4]
        for name, what in picture(root).items()
        if not name.startswith("usr/bin/")  # the tools name their own root
    }
    for half in (f"{WIRE}.key", f"{WIRE}.pub"):
        found[half] = found[half][:3]
    assert load_pair(root / f"{WIRE}.key").public == load_public(root / f"{WIRE}.pub")
    state = json.loads((root / STATE).read_text())
    found[STATE] = {**state, "held": sorted(state["held"]), "enabled": sorted(state["enabled"])}
    return found


def kill_everywhere(base: Path, work: Path, stride: int) -> int:
    """How many changes a run makes. Raises SystemExit for a kill after which another run does not
    lead to where an undisturbed one does."""
    _run(whole := _copy(base, work / "whole"), None)
    wanted = outcome(whole)
    for number in count(1, stride):
        code = _run(root := _copy(base, work / "killed"), number)
        if code == 0:
            return number - 1
        if code != -signal.SIGKILL:
            raise SystemExit(f"before change {number}: ended with {code}")
        if _run(root, None):
            raise SystemExit(f"before change {number}: cannot be run again")
        found = outcome(root)
        odd = sorted(n for n in {*found, *wanted} if found.get(n) != wanted.get(n))
        if odd:
            raise SystemExit(f"before change {number}: other than undisturbed: {odd}")
    raise AssertionError("count() does not end")


def _copy(base: Path, root: Path) -> Path:
    """A copy in the same place each time, as the tools' scripts name it."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(base, root, symlinks=True)
    for tool in (root / "usr/bin").iterdir():
        if tool.is_file() and not tool.is_symlink():
            tool.write_text(tool.read_text().replace(f" {base} ", f" {root} "))
    return root


def _run(root: Path, fatal: int | None) -> int:
    """Exit code of a run in a process of its own, killed before change `fatal`."""
    child = os.fork()
    if not child:
        try:
            with contextlib.redirect_stdout(io.StringIO()), _counting(root, fatal):
                report = carry_out("provision", provision_steps(Machine(root), WISHES))
            for step in report.steps if report.failed else ():
                sys.stderr.write(f"{step.title}: {step.outcome.value} {step.text}\n")
            os._exit(report.failed)
        except BaseException as error:  # noqa: BLE001 - the parent reads the exit status
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextlib.contextmanager
def _counting(root: Path, fatal: int | None) -> Any:
    steps, folder = 0, os.path.realpath(root)

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def told(event: str, arguments: tuple[Any, ...]) -> None:
        asks = event == "subprocess.Popen" and _asks(arguments[1])
        if is_change(event, arguments, folder) and not asks:
            step()

    def counted(call: Callable[..., None]) -> Callable[..., None]:
        def called(*arguments: Any) -> None:
            step()
            call(*arguments)

        return called

    for name in ("fsync", "fchown", "fchmod"):
        setattr(os, name, counted(getattr(os, name)))
    with traced(told):
        yield


def _asks(command: list[str]) -> bool:
    """Whether a tool is only asked."""
    changing = ("groupadd", "useradd", "usermod", "apt-mark", "systemctl", "nvpmodel")
    return Path(command[0]).name not in changing or bool(set(command) & set(ASKING))


def killed(base: Path, work: Path, stride: int) -> int:
    """`kill_everywhere` in a process of its own."""
    command = [sys.executable, __file__, str(base), str(work), str(stride)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


if __name__ == "__main__":
    stride = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    print(kill_everywhere(Path(sys.argv[1]), Path(sys.argv[2]), stride))  # noqa: T201
